"""Subscription tokens, read as the server reads them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from django_jackfield.aliases import brokers


class NotTrusted(Exception):
    """A token that is none, or that another key has signed."""


def read(token: str, via: str) -> dict[str, Any]:
    """What a token says. Raises NotTrusted."""
    head, _, signature = token.rpartition(".")
    config = brokers[via].config
    for key in config.keys or (config.signing_key,):
        wanted = hmac.new(key.encode(), head.encode(), hashlib.sha256).digest()
        if hmac.compare_digest(base64.urlsafe_b64encode(wanted).rstrip(b"="), signature.encode()):
            body = head.partition(".")[2]
            claims: dict[str, Any] = json.loads(
                base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            )
            return claims
    raise NotTrusted


def is_expired(claims: dict[str, Any]) -> bool:
    """Whether its time is up."""
    expires: float = claims.get("exp", 0)
    return 0 < expires < time.time()
