"""The permissions of the admin pages, which belong to no table."""

from __future__ import annotations

from typing import Any

VIEW = "django_jackfield.view_connection"
KICK = "django_jackfield.kick"
REPLAY = "django_jackfield.replay"


def make_permissions(using: str = "default") -> None:
    """Makes `view_connection`, `kick` and `replay` in a database, if they are not there."""
    from django.apps import apps
    from django.db import router

    if not apps.is_installed("django.contrib.auth"):
        return
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    from django_jackfield.contrib.admin.models import Connection

    if not router.allow_migrate_model(using, Permission):
        return
    model: Any = Connection
    ContentType.objects.clear_cache()
    kind, _ = ContentType.objects.db_manager(using).get_or_create(
        app_label=model._meta.app_label, model=model._meta.model_name
    )
    wanted = [("view_connection", "Can look at the server"), *model._meta.permissions]
    for codename, name in wanted:
        Permission.objects.using(using).get_or_create(
            content_type=kind, codename=codename, defaults={"name": name}
        )
