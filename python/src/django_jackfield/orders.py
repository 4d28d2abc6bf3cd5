"""Commands about connections, subscriptions and tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django_jackfield.command import Command
from django_jackfield.decisions import Subscription, subscribe_result

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The id of no connection."""

REMEMBERED_SECONDS = 3600
"""How long the server remembers that a token is void, unless tokens live longer."""


def revocation(session_id: str, seconds: int, *, renew: bool) -> Command:
    """Voids the tokens of a Django session, and ends the connections that came with them.

    With `renew` they end in a way after which clients come back with another token.
    """
    payload: dict[str, Any] = {"uid": session_id, "expire_at": int(time.time()) + seconds}
    return Command.make("revoke_token", payload | ({"renew": True} if renew else {}))


def invalidation(user: str, seconds: int) -> Command:
    """Voids the tokens that a user has been given up to now; clients come back with new ones."""
    now = time.time()
    payload = {
        "user": user,
        "issued_before_ms": int(now * 1000),
        "expire_at": int(now) + seconds,
        "renew": True,
    }
    return Command.make("invalidate_user_tokens", payload)


def entry(target: Mapping[str, str], channel: str, grant: Subscription) -> Command:
    """Puts connections into a channel."""
    if grant.cache_for is not None:
        raise ValueError("subscribe: cache_for is for can_subscribe")
    return Command.make("subscribe", {**target, "channel": channel, **subscribe_result(grant)})


def removal(target: Mapping[str, str], channel: str, code: int, reason: str) -> Command:
    """Takes connections out of a channel: up to code 2499 for good, from 2500 on to come again."""
    if not 2000 <= code <= 2999:
        raise ValueError(
            f"unsubscribe code {code}: use 2000 to 2499 (for good) or 2500 to 2999 (come again)"
        )
    payload: dict[str, Any] = {**target, "channel": channel, "code": code}
    return Command.make("unsubscribe", payload | ({"reason": reason} if reason else {}))


def forgetting(user: str = "") -> Command:
    """Makes the server forget the answers it remembers of a user, or of everybody."""
    # There is no command of its own for this; one that ends no connection does it beside.
    target = {"client": NOBODY} | ({"user": user} if user else {})
    return Command.make("disconnect", target)


def connections_question(target: Mapping[str, str]) -> Command:
    """An ask for the connections that match, or for all of the cluster."""
    return Command.make("connections", dict(target))
