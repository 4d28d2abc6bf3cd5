"""What the pages of the admin are about. None of it has a table: the server is asked."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class Connection(models.Model):  # noqa: DJ008 (there are no objects)
    """The connections, and the permissions of all pages."""

    class Meta:
        app_label = "django_jackfield"
        managed = False
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        default_permissions: Any = ("view",)
        permissions = (
            ("kick", "Can close connections"),
            ("replay", "Can replay and drop dead letters"),
        )


class Channel(models.Model):  # noqa: DJ008
    """The channels that somebody is in."""

    class Meta:
        app_label = "django_jackfield"
        managed = False
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        default_permissions: Any = ()


class DeadLetter(models.Model):  # noqa: DJ008
    """What could not be done."""

    class Meta:
        app_label = "django_jackfield"
        managed = False
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")
        default_permissions: Any = ()


class Node(models.Model):  # noqa: DJ008
    """The nodes of the server, and the workers."""

    class Meta:
        app_label = "django_jackfield"
        managed = False
        verbose_name = _("node")
        verbose_name_plural = _("nodes and workers")
        default_permissions: Any = ()
