"""Ending connections, so that who is thrown out does not come back with the token it has."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.aliases import brokers
from django_jackfield.command import Command, disconnection
from django_jackfield.delivery import deliver
from django_jackfield.later import after_commit
from django_jackfield.orders import REMEMBERED_SECONDS, invalidation, revocation
from django_jackfield.push import user_id
from django_jackfield.sid import session_id
from django_jackfield.who import connections_in

Where = tuple[bool | None, str | None, str]
"""`on_commit`, `using` and `via` of a public function."""

COME_BACK = 4000
"""The close code of `reconnect=True`: clients come back after a moment."""


def disconnect(
    user: Any = None,
    client: str | None = None,
    *,
    session: Any = None,
    connection: str | None = None,
    channel: str | None = None,
    code: int | None = None,
    reason: str = "",
    reconnect: bool = False,
    remember: int | None = None,
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> None:
    """Closes connections: of a user, of a Django session, of a channel, or one.

    A `user` (an object or its id) and a `session` (`request.session`, or the `jti` of its tokens)
    lose the tokens they have been given up to now, for `remember` seconds: the longer of TOKEN_TTL
    and an hour unless said. New ones are as good as ever. `client`, or `connection`, is the id of
    one connection and voids no token.

    Without a `code` the server closes with 3503, after which clients stay away; `reconnect=True`
    lets them come back, with a new token where theirs is void. Of the app's own codes 4000 to 4499
    let them come back and 4500 to 4999 do not. Connections of a session end with 3500, or 3005
    with `reconnect=True`; it takes no code.
    """
    client = client if connection is None else connection
    given = [name for name, value in _targets(user, client, session, channel).items() if value]
    if len(given) != 1 and set(given) != {"user", "client"}:
        raise TypeError(
            f"disconnect: name a user, a session, a connection or a channel, not "
            f"{' and '.join(given) or 'nothing'}"
        )
    if code is None and reconnect:
        code = COME_BACK
    where = (on_commit, using, via)
    if channel is not None:
        _disconnect_channel(channel, code, reason, where)
    elif session is not None:
        commands = session_commands(session, via, renew=reconnect, remember=remember)
        if commands:
            deliver(commands, on_commit=on_commit, using=using, via=via)
    elif client is not None:
        known = None if user is None else user_id(user)
        command = disconnection(known, client, code, reason)
        deliver([command], on_commit=on_commit, using=using, via=via)
    else:
        known = user_id(user)
        end_user(known, where, code=code, reason=reason, remember=remember)


async def adisconnect(
    user: Any = None,
    client: str | None = None,
    *,
    session: Any = None,
    connection: str | None = None,
    channel: str | None = None,
    code: int | None = None,
    reason: str = "",
    reconnect: bool = False,
    remember: int | None = None,
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> None:
    """`disconnect` for async code."""
    await sync_to_async(disconnect)(
        user,
        client,
        session=session,
        connection=connection,
        channel=channel,
        code=code,
        reason=reason,
        reconnect=reconnect,
        remember=remember,
        on_commit=on_commit,
        using=using,
        via=via,
    )


def end_user(
    known: str,
    where: Where,
    *,
    code: int | None = None,
    reason: str = "",
    remember: int | None = None,
) -> None:
    """Ends the connections of a user, then voids the tokens.

    The order matters: ended by the mark, clients would not hear code and reason. Who is quick
    enough to come back between the two is ended by the second. The mark is made when the
    transaction is over: until then others sign tokens by what was true before.
    """
    on_commit, using, via = where
    ending = disconnection(known, None, code, reason)

    def commands() -> list[Command]:
        return [ending, invalidation(known, _seconds(remember, via))]

    if not (brokers[via].config.on_commit if on_commit is None else on_commit):
        deliver(commands(), on_commit=False, via=via)
        return
    kept = bool(brokers[via].config.outbox)
    if kept:
        # A row for the case that nobody lives to do the rest; the ending is known by its id.
        deliver(commands(), on_commit=True, using=using, via=via)
    after_commit(
        lambda: deliver(
            commands(), on_commit=True, outbox=False if kept else None, using=using, via=via
        ),
        f"disconnect(user={known!r})",
        on_commit=True,
        using=using,
        via=via,
    )


def session_commands(
    session: Any, via: str, *, renew: bool = False, remember: int | None = None
) -> list[Command]:
    """Voids the tokens of a session and ends its connections; nothing if it has had no token."""
    name = session if isinstance(session, str) else session_id(session)
    return [revocation(name, _seconds(remember, via), renew=renew)] if name else []


def _seconds(remember: int | None, via: str) -> int:
    ttl: int = brokers[via].config.token_ttl
    return max(ttl, REMEMBERED_SECONDS) if remember is None else remember


def _targets(user: Any, client: Any, session: Any, channel: Any) -> dict[str, bool]:
    targets = {"user": user, "client": client, "session": session, "channel": channel}
    return {name: value is not None for name, value in targets.items()}


def _disconnect_channel(channel: str, code: int | None, reason: str, where: Where) -> None:
    """Closes the connections that are in a channel when the transaction has committed."""

    on_commit, using, via = where

    def close() -> None:
        found = connections_in(channel, via=via)
        commands = [disconnection(None, one.id, code, reason) for one in found]
        if commands:
            deliver(commands, on_commit=False, via=via)

    what = f"disconnect(channel={channel!r})"
    after_commit(close, what, on_commit=on_commit, using=using, via=via)
