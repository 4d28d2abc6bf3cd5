"""Rights that act on open sockets: the rules are asked again, and who has lost is taken out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError

from django_jackfield.access import decide_for, has_rules, overrides
from django_jackfield.command import Command
from django_jackfield.decisions import Subscription
from django_jackfield.delivery import deliver
from django_jackfield.documents import WITHOUT_RIGHT, may_write
from django_jackfield.later import after_commit
from django_jackfield.orders import entry, forgetting, removal
from django_jackfield.push import user_id
from django_jackfield.registry import Match, Registry, discover
from django_jackfield.who import FEW_USERS, MOST_LISTED, Connection, connections, connections_in

logger = logging.getLogger("django_jackfield")

LOST = 2103
"""The code a client hears when a right is gone: it does not ask again by itself."""
ASK_AGAIN = 2503
"""The code of subscriptions that are not decided here: the client asks again, by itself."""
REASON = "permission denied"
CHANGED = "rights have changed"

MOST_DECISIONS = 500
"""So many rules run in the process that calls; what is beyond is asked again by the clients, over
the workers or the token view, a moment after they were taken out."""
BATCH = 200
"""So many users are fetched by one query."""


class Verdict(NamedTuple):
    """`code` 0: stays; or that with which it is taken out.

    `writes`: whether it may publish, where the class says so of each subscription.
    """

    code: int
    writes: bool | None = None


Chooser = Callable[[set[str] | None], set[str]]
"""Of the ids of connected users, those who are meant; of None, all who are."""


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
    with code 2103 and the reason "permission denied"; all others notice nothing. Of a document it
    asks `can_publish` as well, and from then on the server takes changes from whom that lets
    write, and from nobody else. Answers that the server remembers are forgotten. Call it where a
    right is made of something other than Django's groups and permissions, which do this by
    themselves.
    """
    meant = None if user is None else {user_id(user)}
    _recheck_later(
        lambda: _recheck(None, meant, channel, via),
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
        _recheck_later(lambda: _recheck(None, meant, None, via), (True, using, via))


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
    verdicts: dict[tuple[str, str], Verdict] = {}
    commands: list[Command] = []
    for one, name, match in open_ones:
        # Users are one decision, however many tabs they have; anonymous clients are each their own.
        key = (one.user_id or one.id, name)
        is_new = key not in verdicts
        if is_new and len(verdicts) < MOST_DECISIONS:
            verdicts[key] = _verdict(match, name, users, one, via)
        code, writes = verdicts.setdefault(key, Verdict(ASK_AGAIN))
        if code and is_new:
            target = {"user": one.user_id} if one.user_id else {"client": one.id}
            reason = REASON if code == LOST else CHANGED
            commands.append(removal(target, name, code, reason))
        elif not code and writes is not None:
            # Why by the client: it changes just this of one that is in the channel already.
            grant = Subscription(override={"publish": writes})
            commands.append(entry({"client": one.id}, name, grant))
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
    found = _connected(choose, meant, channel, via)
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


def _connected(
    choose: Chooser | None, meant: set[str] | None, channel: str | None, via: str
) -> Iterable[Connection]:
    """The connections of whom is meant, or of all."""
    if meant is None and choose is None and channel is not None:
        return connections_in(channel, via=via)
    if meant is None or len(meant) > FEW_USERS:
        listed = connections(via=via)
        if len(listed) < MOST_LISTED:
            if choose is not None:
                meant = choose({one.user_id for one in listed if one.user_id})
            return [one for one in listed if meant is None or one.user_id in meant]
        if choose is not None:
            meant = choose(None)
        if meant is None:
            logger.warning("more than %d connections: some were not checked again", MOST_LISTED)
            return listed
    return (one for user in sorted(meant) for one in connections(user, via=via))


def _can_lose(channel: Any) -> bool:
    """Whether a class has something to ask. Its other channels, and those of no class, stay."""
    return has_rules(channel) or overrides(channel, "can_stay") or bool(channel.option("document"))


def _verdict(
    match: Match, name: str, users: Mapping[str, Any], one: Connection, via: str
) -> Verdict:
    user = users.get(one.user_id) or _anonymous()

    def says(question: str) -> Any:
        return decide_for(match, name, user, question, user_id=one.user_id, client=one.id, via=via)

    try:
        said = says("can_stay")
        if said is False or said is None:
            return Verdict(LOST)
        if isinstance(said, Subscription) and "publish" in (said.override or {}):
            return Verdict(0, (said.override or {})["publish"])
        return Verdict(0, _writes(says) if match.channel.option("document") else None)
    except WITHOUT_RIGHT:
        return Verdict(LOST)
    except Exception:
        logger.exception("the rules of %r failed for user %r; it is asked again", name, one.user_id)
        return Verdict(ASK_AGAIN)


def _writes(says: Callable[[str], Any]) -> bool:
    try:
        return may_write(says("can_publish"))
    except WITHOUT_RIGHT:
        return False


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
