"""The app of the panel: it brings the template."""

from django.apps import AppConfig


class JackfieldToolbarConfig(AppConfig):
    """No models, no urls."""

    name = "django_jackfield.contrib.toolbar"
    label = "jackfield_toolbar"
    verbose_name = "Jackfield"
