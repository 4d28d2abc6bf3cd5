"""The Django app."""

from django.apps import AppConfig


class JackfieldConfig(AppConfig):
    """Registers checks and receivers.

    Opens nothing: mod_wsgi forks, and manage.py works without a queue.
    """

    name = "django_jackfield"
    verbose_name = "Jackfield"

    def ready(self) -> None:
        """Called once per process."""
        from django_jackfield import model_channel
        from django_jackfield.checks import register_checks
        from django_jackfield.rights import connect_receivers

        register_checks()
        model_channel.connect()
        connect_receivers()
