"""The app of the outbox. Opt-in: a project without it has no table of ours."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """`INSTALLED_APPS = [..., "django_jackfield.outbox"]`, then `manage.py migrate`."""

    name = "django_jackfield.outbox"
    label = "jackfield_outbox"
    verbose_name = "Jackfield outbox"
    default_auto_field = "django.db.models.BigAutoField"
