"""What `runserver` adds: the bundled server beside Django, and the worker inside it."""
