"""System checks of the rules of handlers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, register

from django_jackfield.checks import TAG
from django_jackfield.registry import Registry, discover
from django_jackfield.rules import MARK, Rule


def check_handlers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E020 a task that cannot be enqueued, E021 `once` without the app that it needs."""
    try:
        registry = discover()
    except Exception:
        return []  # A realtime.py that cannot be imported is told of by another check.
    return [message for rule in set_rules(registry) for message in _check(rule)]


def set_rules(registry: Registry) -> Iterator[Rule]:
    """Every rule that is declared."""
    functions = [*registry.messages.values(), *registry.rpcs.values()]
    for channel in registry.channels:
        functions += [getattr(channel, name) for name in set(channel.handlers.values())]
    for function in dict.fromkeys(functions):
        yield from getattr(function, MARK, {}).values()


def _check(rule: Rule) -> Iterator[CheckMessage]:
    if rule.task is not None and not callable(getattr(rule.task, "enqueue", None)):
        old = find_spec("django.tasks") is None
        yield Error(
            f"@on({rule.name!r}): task={rule.task!r} has no enqueue(): it is no task.",
            hint=(
                "django.tasks comes with Django 6.0; before that, install django-tasks."
                if old
                else "Decorate it with @task of django.tasks."
            ),
            id="jackfield.E020",
        )
    if rule.once and not apps.is_installed("django_jackfield.inbox"):
        yield Error(
            f"{rule.name!r} is to be handled once, and django_jackfield.inbox is not installed.",
            hint="Add 'django_jackfield.inbox' to INSTALLED_APPS and run migrate.",
            id="jackfield.E021",
        )


def register_checks() -> None:
    """Called by the app config."""
    register(TAG)(check_handlers)
