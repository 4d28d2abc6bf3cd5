"""System checks of the outbox and the inbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, register

from django_jackfield import conf
from django_jackfield.checks import TAG

APP = "django_jackfield.outbox"


def check_outbox(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E020: OUTBOX without its app, or with ON_COMMIT off."""
    aliases = conf.raw_aliases()
    if not isinstance(aliases, Mapping):
        return []
    messages: list[CheckMessage] = []
    for alias, raw in aliases.items():
        if not isinstance(raw, Mapping) or not raw.get("OUTBOX"):
            continue
        if not apps.is_installed(APP):
            messages.append(
                Error(
                    f"JACKFIELD[{alias!r}]: OUTBOX is on, but {APP!r} is not installed.",
                    hint=f"Add {APP!r} to INSTALLED_APPS and run `manage.py migrate`.",
                    id="jackfield.E020",
                )
            )
        if raw.get("ON_COMMIT") is False:
            messages.append(
                Error(
                    f"JACKFIELD[{alias!r}]: OUTBOX is on and ON_COMMIT is off, so nothing would "
                    "go through the outbox.",
                    hint="Leave ON_COMMIT out, and give on_commit=False where it is meant.",
                    id="jackfield.E020",
                )
            )
    return messages


def register_checks() -> None:
    """Called by the app config."""
    register(check_outbox, TAG)
