"""The app of the inbox. Opt-in: a project without it has no table of ours."""

from django.apps import AppConfig


class InboxConfig(AppConfig):
    """`INSTALLED_APPS = [..., "django_jackfield.inbox"]`, then `manage.py migrate`."""

    name = "django_jackfield.inbox"
    label = "jackfield_inbox"
    verbose_name = "Jackfield inbox"
    default_auto_field = "django.db.models.BigAutoField"
