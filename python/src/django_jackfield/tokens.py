"""Connection and subscription tokens: JWT, HS256, signed with the standard library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.aliases import brokers
from django_jackfield.decisions import Subscription, subs_result, subscribe_result
from django_jackfield.push import user_id
from django_jackfield.serialise import to_json
from django_jackfield.sid import token_session_id

_HEADER = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"

CAPABILITIES = frozenset({"sub", "pub", "prs", "hst"})
"""What a capability may allow: subscribe, publish, ask for presence, ask for history."""

Channels = Iterable[str] | Mapping[str, Subscription]
Capabilities = Mapping[str, Iterable[str]]


def token(
    request_or_user: Any,
    *,
    channels: Channels = (),
    info: Any = None,
    ttl: int | None = None,
    capabilities: Capabilities | None = None,
    via: str = "default",
) -> str:
    """A token with which a client connects as this user (as an anonymous one if it has none).

    Of a request it is tied to the session: who logs out ends the connections that came with it.
    `channels` are those the client is in from the start: names, or a dict of names and
    Subscriptions. `info` is what others see in presence. `capabilities` are what it may do beyond
    the rules of channels: `{"news": ["sub", "hst"], "chat:*": ["pub"]}`.
    """
    return signed(claims(request_or_user, info, ttl, via, channels, capabilities), via)


async def atoken(
    request_or_user: Any,
    *,
    channels: Channels = (),
    info: Any = None,
    ttl: int | None = None,
    capabilities: Capabilities | None = None,
    via: str = "default",
) -> str:
    """`token` for async code; the session may have to be read for the user."""
    return await sync_to_async(token)(
        request_or_user,
        channels=channels,
        info=info,
        ttl=ttl,
        capabilities=capabilities,
        via=via,
    )


def subscription_token(
    request_or_user: Any,
    channel: str,
    grant: Subscription | None = None,
    *,
    client: str | None = None,
    ttl: int | None = None,
    via: str = "default",
) -> str:
    """A token that opens one channel for this user, whatever the rules of the channel say.

    `grant` says more of the subscription, `client` ties it to one connection.
    """
    payload = subscription_claims(request_or_user, channel, grant, ttl, via)
    if client is not None:
        payload["client"] = client
    return signed(payload, via)


async def asubscription_token(
    request_or_user: Any,
    channel: str,
    grant: Subscription | None = None,
    *,
    client: str | None = None,
    ttl: int | None = None,
    via: str = "default",
) -> str:
    """`subscription_token` for async code."""
    return await sync_to_async(subscription_token)(
        request_or_user, channel, grant, client=client, ttl=ttl, via=via
    )


def claims(
    request_or_user: Any,
    info: Any = None,
    ttl: int | None = None,
    via: str = "default",
    channels: Channels = (),
    capabilities: Capabilities | None = None,
) -> dict[str, Any]:
    """What a connection token says."""
    payload = _who_and_when(request_or_user, ttl, via)
    if channels:
        payload |= subs_result(channels)
    if info is not None:
        payload["info"] = info
    if capabilities:
        payload["caps"] = [_capability(name, kinds) for name, kinds in capabilities.items()]
    return payload


def subscription_claims(
    request_or_user: Any,
    channel: str,
    grant: Subscription | None = None,
    ttl: int | None = None,
    via: str = "default",
) -> dict[str, Any]:
    """What a subscription token says."""
    if not isinstance(channel, str) or not channel:
        raise ValueError(f"channel must be a non-empty string, not {channel!r}")
    said = {} if grant is None else subscribe_result(grant)
    said.pop("cache_for", None)
    return _who_and_when(request_or_user, ttl, via) | {"channel": channel} | said


def signed(payload: dict[str, Any], via: str = "default") -> str:
    """A payload as a signed token."""
    key = brokers[via].config.signing_key.encode()
    body = _HEADER + b"." + _base64url(to_json(payload))
    signature = hmac.new(key, body, hashlib.sha256).digest()
    return (body + b"." + _base64url(signature)).decode()


def _who_and_when(request_or_user: Any, ttl: int | None, via: str) -> dict[str, Any]:
    user = getattr(request_or_user, "user", request_or_user)
    now = time.time()
    seconds = brokers[via].config.token_ttl if ttl is None else ttl
    payload: dict[str, Any] = {
        "sub": "" if getattr(user, "is_anonymous", False) else user_id(user),
        # With its fractions: a token made in the second of a password change is new or old.
        "iat": round(now, 3),
        "exp": int(now) + seconds,
    }
    session = token_session_id(request_or_user)
    if session is not None:
        payload["jti"] = session
    return payload


def _capability(name: str, kinds: Iterable[str]) -> dict[str, Any]:
    allow = [kinds] if isinstance(kinds, str) else list(kinds)
    unknown = set(allow) - CAPABILITIES
    if unknown or not allow:
        raise ValueError(
            f"capabilities[{name!r}] allows {sorted(unknown) or 'nothing'}: "
            f"it may hold {', '.join(sorted(CAPABILITIES))}"
        )
    said = {"channels": [name], "allow": allow}
    return said | {"match": "wildcard"} if "*" in name else said


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
