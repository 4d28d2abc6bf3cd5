"""Pages of the admin site that look at the server. Put it into INSTALLED_APPS; it has no tables."""
