"""The process that runs the handlers: `manage.py jackfield worker`."""
