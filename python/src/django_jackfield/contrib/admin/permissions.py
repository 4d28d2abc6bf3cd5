"""The permissions of the admin pages, which belong to no table."""

from __future__ import annotations

from typing import Any

VIEW = "django_jackfield.view_connection"
KICK = "django_jackfield.kick"
REPLAY = "django_jackfield.replay"


def make_permissions(using: str = "default") -> None:
    """Makes `view_connection`, `kick` and `replay` in a database, if they are not there yet."""
    from django.apps import apps
    from django.db import router

    if not apps.is_installed("django.contrib.auth"):
        return
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    from django_jackfield.contrib.admin.models import Channel, Connection, DeadLetter, Node

    if not router.allow_migrate_model(using, Permission):
        return
    ContentType.objects.clear_cache()
    # The admin's log refers to the types of all pages, the permissions to one.
    kinds = {}
    models: list[Any] = [Channel, Connection, DeadLetter, Node]
    for model in models:
        kinds[model], _ = ContentType.objects.db_manager(using).get_or_create(
            app_label=model._meta.app_label, model=model._meta.model_name
        )
    kind, about = kinds[Connection], Connection._meta
    wanted = [("view_connection", "Can look at the server"), *about.permissions]
    for codename, name in wanted:
        Permission.objects.using(using).get_or_create(
            content_type=kind, codename=codename, defaults={"name": name}
        )
