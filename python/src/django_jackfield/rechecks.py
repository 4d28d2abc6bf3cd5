"""Rights that act on open sockets: the rules are asked again, and who has lost is taken out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.http import Http404

from django_jackfield.access import decide_for, has_rules, overrides
from django_jackfield.command import Command
from django_jackfield.delivery import deliver
from django_jackfield.errors import ClientError, Refuse
from django_jackfield.later import after_commit
from django_jackfield.orders import forgetting, removal
from django_jackfield.push import user_id
from django_jackfield.registry import Match, Registry, discover
from django_jackfield.who import Connection, connections

logger = logging.getLogger("django_jackfield")

LOST = 2103
"""The code a client hears when a right is gone: it does not ask again by itself."""
ASK_AGAIN = 2503
"""The code of subscriptions that are not decided here: the client asks again, by itself."""
REASON = "permission denied"

MOST_DECISIONS = 500
"""So many rules run in the process that calls; what is beyond is asked again by the clients, over
the workers or the token view, a moment after they were taken out."""
BATCH = 200
"""So many users are fetched by one query."""

Chooser = Callable[[set[str]], set[str]]
"""Of the ids of connected users, those who are meant."""


def recheck(
    user: Any = None,
    channel: str | None = None,
    *,
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> None:
    """Asks the rules of open subscriptions again: of a user, of a channel, of both, or of all.

    It happens when the transaction commits. Who may no longer be in a channel is taken out of it,
    with code 2103 and the reason "permission denied"; all others notice nothing. Answers that the
    server remembers are forgotten. Call it where a right is made of something other than Django's
    groups and permissions, which do this by themselves.
    """
    meant = None if user is None else {user_id(user)}
    _recheck_later(
        lambda: _recheck(None if meant is None else meant.__and__, meant, channel, via),
        (on_commit, using, via),
    )


async def arecheck(
    user: Any = None,
    channel: str | None = None,
    *,
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> None:
    """`recheck` for async code."""
    await sync_to_async(recheck)(user, channel, on_commit=on_commit, using=using, via=via)


def recheck_users(users: Iterable[str], *, using: str | None = None, via: str = "default") -> None:
    """`recheck` of several users, by their ids, with one look at who is connected."""
    meant = set(users)
    if meant:
        _recheck_later(lambda: _recheck(meant.__and__, meant, None, via), (True, using, via))


def recheck_chosen(choose: Chooser, *, using: str | None = None, via: str = "default") -> None:
    """`recheck` of those connected users whom a function chooses when the transaction is over."""
    _recheck_later(lambda: _recheck(choose, None, None, via), (True, using, via))


def _recheck_later(work: Callable[[], None], where: tuple[bool | None, str | None, str]) -> None:
    on_commit, using, via = where
    after_commit(work, "recheck", on_commit=on_commit, using=using, via=via)


def _recheck(choose: Chooser | None, meant: set[str] | None, channel: str | None, via: str) -> None:
    registry = discover()
    if not any(map(_can_lose, registry.channels)):
        return
    # Who is not connected may have an answer that is remembered. What is forgotten comes first:
    # who asks from now on meets the new rights.
    first = [forgetting(user) for user in sorted(meant)] if meant else [forgetting()]
    deliver(first, on_commit=False, via=via)
    open_ones = list(_open(registry, choose, meant, channel, via))
    users = _users({one.user_id for one, _, _ in open_ones if one.user_id})
    verdicts: dict[tuple[str, str], int] = {}
    commands: list[Command] = []
    for one, name, match in open_ones:
        # Users are one decision, however many tabs they have; anonymous clients are each their own.
        key = (one.user_id or one.id, name)
        if key in verdicts:
            continue
        if len(verdicts) < MOST_DECISIONS:
            code = _verdict(match, name, users, one, via)
        else:
            code = ASK_AGAIN
        verdicts[key] = code
        if code:
            target = {"user": one.user_id} if one.user_id else {"client": one.id}
            reason = REASON if code == LOST else "rights have changed"
            commands.append(removal(target, name, code, reason))
    if commands:
        deliver(commands, on_commit=False, via=via)


def _open(
    registry: Registry,
    choose: Chooser | None,
    meant: set[str] | None,
    channel: str | None,
    via: str,
) -> Iterator[tuple[Connection, str, Match]]:
    """The open subscriptions that are to be decided."""
    only = next(iter(meant)) if meant is not None and len(meant) == 1 else None
    found = connections(only, via=via)
    if choose is not None:
        chosen = choose({one.user_id for one in found if one.user_id})
        found = [one for one in found if one.user_id in chosen]
    matches: dict[str, Match | None] = {}
    for one in found:
        for name in sorted(one.channels):
            if channel is not None and name != channel:
                continue
            if name not in matches:
                matches[name] = registry.match(name)
            match = matches[name]
            if match is not None and _can_lose(match.channel):
                yield one, name, match


def _can_lose(channel: Any) -> bool:
    """Whether a class has something to ask. Its other channels, and those of no class, stay."""
    return has_rules(channel) or overrides(channel, "can_stay")


def _verdict(match: Match, name: str, users: Mapping[str, Any], one: Connection, via: str) -> int:
    """0: stays; or the code with which it is taken out."""
    user = users.get(one.user_id) or _anonymous()
    try:
        said = decide_for(
            match, name, user, "can_stay", user_id=one.user_id, client=one.id, via=via
        )
    except (PermissionDenied, ObjectDoesNotExist, Http404, ClientError, Refuse):
        return LOST
    except Exception:
        logger.exception("the rules of %r failed for user %r; it is asked again", name, one.user_id)
        return ASK_AGAIN
    return LOST if said is False or said is None else 0


def _users(ids: set[str]) -> dict[str, Any]:
    """The users who exist, by the ids by which the server knows them."""
    from django.contrib.auth import get_user_model

    model = get_user_model()
    keys: list[Any] = []
    for known in ids:
        try:
            key = model._meta.pk.to_python(known)
            model._meta.pk.run_validators(key)
        except (ValidationError, ValueError, TypeError, OverflowError):
            continue  # No key of a user: a device that has a token of its own.
        keys.append(key)
    found: dict[str, Any] = {}
    rest = iter(keys)
    while batch := list(islice(rest, BATCH)):
        for user in model._default_manager.filter(pk__in=batch):
            found[str(user.pk)] = user
    return found


def _anonymous() -> Any:
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()
