"""The Django project that is walked through."""
