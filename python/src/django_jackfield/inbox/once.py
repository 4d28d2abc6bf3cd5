"""Running a function once per event, however often the event comes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.utils import timezone

from django_jackfield.serialise import to_json

APP = "django_jackfield.inbox"
CHUNK = 1000


def require_app() -> None:
    """Raises ImproperlyConfigured where there is no table of handled events."""
    if not apps.is_installed(APP):
        raise ImproperlyConfigured(
            f"once=True needs the inbox: add {APP!r} to INSTALLED_APPS and run `manage.py migrate`."
        )


def run_once(event_id: str, function: Callable[[], Any], *, using: str = DEFAULT_DB_ALIAS) -> Any:
    """Runs `function` and stores its JSON reply, in one transaction on `using`.

    An event that was handled before gets the stored reply and the function is not run. Whoever
    comes with the same id meanwhile waits. If the function raises, nothing is stored and
    nothing that it did in this database stays.
    """
    if not event_id:
        raise ValueError("run_once: the id of the event is empty")
    require_app()
    from django_jackfield.inbox.models import HandledEvent

    known = HandledEvent._base_manager.using(using).filter(pk=event_id)
    with transaction.atomic(using=using):
        row = HandledEvent(event_id=event_id, handled_at=timezone.now())
        try:
            # First of all: the row is what a second one waits for, and must not find.
            with transaction.atomic(using=using):
                row.save(force_insert=True, using=using)
        except IntegrityError:
            return json.loads(known.get().reply)
        reply = function()
        stored = to_json(reply).decode()
        if stored != row.reply:
            known.update(reply=stored)
    return reply


async def arun_once(
    event_id: str, function: Callable[[], Any], *, using: str = DEFAULT_DB_ALIAS
) -> Any:
    """`run_once` for async code; `function` may be a coroutine function."""
    plain = async_to_sync(function) if inspect.iscoroutinefunction(function) else function
    return await sync_to_async(run_once)(event_id, plain, using=using)


def prune(older_than: timedelta, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Forgets events that were handled longer ago than that. Gives how many.

    An event that comes again after that is handled again, so keep them longer than any outage.
    """
    require_app()
    from django_jackfield.inbox.models import HandledEvent

    old = HandledEvent._base_manager.using(using).filter(handled_at__lt=timezone.now() - older_than)
    forgotten = 0
    # In chunks: a long delete would hold up the handlers.
    while keys := list(old.order_by("handled_at").values_list("pk", flat=True)[:CHUNK]):
        forgotten += HandledEvent._base_manager.using(using).filter(pk__in=keys).delete()[0]
    return forgotten


async def aprune(older_than: timedelta, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """`prune` for async code."""
    return await sync_to_async(prune)(older_than, using=using)
