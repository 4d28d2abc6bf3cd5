"""System check of the order of INSTALLED_APPS."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, register

from django_jackfield.checks import TAG

WRAPPERS = ("whitenoise.runserver_nostatic", "daphne", "django.contrib.staticfiles")
"""Apps with a runserver of their own, which ours extends."""


def check_order(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E005: our app after one whose runserver would hide ours."""
    names = [app.name for app in apps.get_app_configs()]
    if "django_jackfield" not in names:
        return []
    before = names[: names.index("django_jackfield")]
    return [
        Error(
            f"'django_jackfield' comes after {name!r} in INSTALLED_APPS, so `runserver` does not "
            f"start the Jackfield server.",
            hint="Put 'django_jackfield' at the top of INSTALLED_APPS.",
            id="jackfield.E005",
        )
        for name in WRAPPERS
        if name in before
    ]


def register_checks() -> None:
    """Called by the app config."""
    register(check_order, TAG)
