"""The app of the admin pages."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class JackfieldAdminConfig(AppConfig):
    """Makes the permissions after each migrate, as Django does for models with tables."""

    name = "django_jackfield.contrib.admin"
    label = "jackfield_admin"
    verbose_name = "Jackfield"

    def ready(self) -> None:
        """Called once per process."""
        post_migrate.connect(_make_permissions, dispatch_uid="django_jackfield.contrib.admin")


def _make_permissions(
    sender: AppConfig, using: str, verbosity: int = 1, apps: Any = None, **kwargs: Any
) -> None:
    """Called after migrate, for each app; only once is of use."""
    if sender.label != JackfieldAdminConfig.label:
        return
    from django_jackfield.contrib.admin.permissions import make_permissions

    make_permissions(using)
