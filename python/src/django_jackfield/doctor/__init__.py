"""`manage.py jackfield doctor`: whether all between Django and a page is there."""
