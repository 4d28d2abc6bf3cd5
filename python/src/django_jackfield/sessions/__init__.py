"""Session engines that tell open sockets when a session ends.

Each is one of Django's with that added: `SESSION_ENGINE = "django_jackfield.sessions.cached_db"`.
"""
