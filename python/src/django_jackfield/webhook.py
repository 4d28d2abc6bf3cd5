"""Signatures of requests between the server and Django, as Standard Webhooks has them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Iterable, Mapping

from django.utils.crypto import salted_hmac

from django_jackfield.conf import Config

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
_SALT = "django_jackfield.webhook"


class NotSigned(Exception):
    """A request is not from the server; says why."""


def secret_of(config: Config) -> str:
    """What the server signs with. It is made of the key of tokens, which it does not tell."""
    return _secret(config.signing_key, config.alias)


def secrets_of(config: Config) -> list[str]:
    """All that count: while a key is exchanged, the server may have the old one."""
    return [_secret(key, config.alias) for key in config.keys or [config.signing_key]]


def signed_headers(secret: str, body: bytes, now: float | None = None) -> dict[str, str]:
    """The headers that the server would send with a body."""
    id, sent = f"msg_{uuid.uuid4().hex}", str(int(time.time() if now is None else now))
    return {
        "webhook-id": id,
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,{_signature(secret, id, sent, body)}",
    }


def verify(headers: Mapping[str, str], body: bytes, secrets: Iterable[str]) -> None:
    """Raises NotSigned unless one of the secrets has signed it, a moment ago."""
    id, sent, given = (
        headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
    )
    if not (id and sent and given):
        raise NotSigned(
            "the headers webhook-id, webhook-timestamp and webhook-signature are not all there: "
            "give the server client.proxy.connect.secret (manage.py jackfield config)"
        )
    if not (sent.isascii() and sent.isdigit() and len(sent) < 16):
        raise NotSigned(f"webhook-timestamp is no number of seconds: {sent[:40]!r}")
    off = int(sent) - time.time()
    if abs(off) > TOLERANCE_SECONDS:
        raise NotSigned(
            f"it was signed {abs(off):.0f} s {'from now' if off > 0 else 'ago'}: set the clocks of "
            "the server and of Django by NTP"
        )
    told = [one[3:].encode() for one in given.split(" ") if one.startswith("v1,")]
    expected = [_signature(secret, id, sent, body).encode() for secret in secrets]
    if not any(hmac.compare_digest(one, other) for one in expected for other in told):
        raise NotSigned(
            "the signature is none of ours: give the server the client.proxy.connect.secret of "
            "this project's KEYS (manage.py jackfield config --keys)"
        )


def _secret(key: str, alias: str) -> str:
    made = salted_hmac(_SALT, alias, secret=key, algorithm="sha256").digest()
    return PREFIX + base64.b64encode(made).decode()


def _signature(secret: str, id: str, sent: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    message = b".".join((id.encode(), sent.encode(), body))
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
