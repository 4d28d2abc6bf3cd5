"""`manage.py jackfield`."""
