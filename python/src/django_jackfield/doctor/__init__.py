"""`manage.py jackfield doctor`: whether everything between Django and a page is there and agrees."""
