"""Connection tokens: JWT, HS256, signed with the standard library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.aliases import brokers
from django_jackfield.push import user_id
from django_jackfield.serialise import to_json

_HEADER = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"


def token(
    request_or_user: Any,
    *,
    info: Any = None,
    ttl: int | None = None,
    via: str = "default",
) -> str:
    """A token with which a client connects as this user (as an anonymous one if it has none).

    `info` is what others see in presence.
    """
    return signed(claims(request_or_user, info, ttl, via), via)


async def atoken(
    request_or_user: Any,
    *,
    info: Any = None,
    ttl: int | None = None,
    via: str = "default",
) -> str:
    """`token` for async code; the session may have to be read for the user."""
    return await sync_to_async(token)(request_or_user, info=info, ttl=ttl, via=via)


def claims(request_or_user: Any, info: Any, ttl: int | None, via: str) -> dict[str, Any]:
    """What a token says."""
    user = getattr(request_or_user, "user", request_or_user)
    now = int(time.time())
    seconds = brokers[via].config.token_ttl if ttl is None else ttl
    payload: dict[str, Any] = {
        "sub": "" if getattr(user, "is_anonymous", False) else user_id(user),
        "iat": now,
        "exp": now + seconds,
    }
    if info is not None:
        payload["info"] = info
    return payload


def signed(payload: dict[str, Any], via: str = "default") -> str:
    """A payload as a signed token."""
    key = brokers[via].config.signing_key.encode()
    body = _HEADER + b"." + _base64url(to_json(payload))
    signature = hmac.new(key, body, hashlib.sha256).digest()
    return (body + b"." + _base64url(signature)).decode()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
