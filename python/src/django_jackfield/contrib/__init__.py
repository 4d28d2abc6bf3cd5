"""What is opt-in: apps that a project adds to INSTALLED_APPS."""
