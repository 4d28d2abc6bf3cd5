"""The JACKFIELD setting: its keys, their defaults, and faults that name the remedy."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

EMBEDDED = "django_jackfield.backends.embedded.EmbeddedBackend"
DEVELOPMENT_URL = "ws://127.0.0.1:8400/connection/websocket"
URL_VARIABLE = "DJANGO_JACKFIELD_URL"
"""Where `runserver` tells its child which server pages shall use.

A host of `ANY_HOST` in it means the host by which the page was asked for.
"""
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
"""Every address of this machine, and the one that it has for itself."""

DEFAULTS: dict[str, Any] = {
    "BACKEND": EMBEDDED,
    "OPTIONS": {},
    "KEYS": [],
    "PUBLIC_URL": None,
    "PREFIX": "jackfield",
    "PARTITIONS": 8,
    "TOKEN_TTL": 300,
    "ON_COMMIT": True,
    "OUTBOX": False,
    "TIMEOUT": 1.0,
    "BREAKER": (3, 5.0),
    "ANONYMOUS": False,
    "AUTH": "token",
    "CONNECT_URL": None,
}

AUTHS = ("token", "session", "both")
"""How clients say who they are: by a token, by the session's cookie, by either."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """One alias of the JACKFIELD setting, checked and complete."""

    alias: str
    backend: str
    options: Mapping[str, Any]
    keys: tuple[str, ...]
    configured_url: str | None
    prefix: str
    partitions: int
    token_ttl: int
    on_commit: bool
    outbox: bool | str = False
    timeout: float
    breaker: tuple[int, float]
    anonymous: bool
    auth: str = "token"
    connect_url: str | None = None

    @property
    def asks_by_cookie(self) -> bool:
        """Whether the server asks Django about clients without a token."""
        return self.auth != "token"

    @property
    def public_url(self) -> str | None:
        """What browsers are told: PUBLIC_URL, or the server of development.

        Asked anew each time: a test run is development only once its environment is set up, and
        pytest touches the backends of test modules before that, when it collects.
        """
        return _public_url(self.configured_url)

    def url_for(self, request: HttpRequest) -> str | None:
        """What the page of this request is told: a server that listens on every address of a
        development machine is reached by the name that the page was reached by.
        """
        told = _told()
        # A page over https came through a proxy, on whose host nobody listens at this port.
        if told is None or urlsplit(told).hostname not in ANY_HOST or request.is_secure():
            return self.public_url
        try:
            host = request.get_host()
        except DisallowedHost:
            return self.public_url
        return _with_host(told, re.sub(r":\d+$", "", host))

    @property
    def signing_key(self) -> str:
        """The key that signs tokens: the first of KEYS, or a derived one in development."""
        if self.keys:
            return self.keys[0]
        if not in_development():
            raise ImproperlyConfigured(
                f"JACKFIELD[{self.alias!r}]: KEYS is empty and DEBUG is off. "
                "Make a key with `manage.py jackfield keygen`."
            )
        return derived_key(self.alias)


def raw_aliases() -> dict[str, Any]:
    """The setting as the project wrote it; one default alias if it wrote none."""
    raw = getattr(settings, "JACKFIELD", None)
    return {"default": {}} if raw is None else raw


def load(alias: str, raw: Mapping[str, Any]) -> Config:
    """The config of one alias. Raises ImproperlyConfigured with every fault."""
    faults = [*unknown_keys(alias, raw), *bad_values(alias, raw)]
    if faults:
        raise ImproperlyConfigured(" ".join(faults))
    full = DEFAULTS | dict(raw)
    limit, pause_seconds = full["BREAKER"]
    return Config(
        alias=alias,
        backend=full["BACKEND"],
        options={name: resolved(value) for name, value in full["OPTIONS"].items()},
        keys=tuple(resolved(key) for key in full["KEYS"]),
        configured_url=full["PUBLIC_URL"],
        prefix=full["PREFIX"],
        partitions=full["PARTITIONS"],
        token_ttl=full["TOKEN_TTL"],
        on_commit=full["ON_COMMIT"],
        outbox=full["OUTBOX"],
        timeout=float(full["TIMEOUT"]),
        breaker=(int(limit), float(pause_seconds)),
        anonymous=full["ANONYMOUS"],
        auth=full["AUTH"],
        connect_url=full["CONNECT_URL"],
    )


def unknown_keys(alias: str, raw: Any) -> list[str]:
    """One sentence for each key that is not known."""
    if not isinstance(raw, Mapping):
        return [f"JACKFIELD[{alias!r}] must be a dict, not {type(raw).__name__}."]
    return [
        f"JACKFIELD[{alias!r}]: unknown key {name!r}.{suggestion(name, DEFAULTS)}"
        for name in raw
        if name not in DEFAULTS
    ]


def unknown_options(alias: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    """One sentence for each option that the backend does not know."""
    known = sorted(known)
    return [
        f"JACKFIELD[{alias!r}]['OPTIONS']: unknown option {name!r}.{suggestion(name, known)}"
        for name in names
        if name not in known
    ]


def bad_values(alias: str, raw: Mapping[str, Any]) -> list[str]:
    """One sentence for each known key whose value cannot be used."""
    if not isinstance(raw, Mapping):
        return []
    return [
        f"JACKFIELD[{alias!r}]: {name} must be {wanted}, not {raw[name]!r}."
        f"{suggestion(raw[name], AUTHS) if name == 'AUTH' else ''}"
        for name, (valid, wanted) in _VALUES.items()
        if name in raw and not valid(raw[name])
    ]


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that says what was probably meant."""
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5) or [
        other for other in known if other.lower() == str(name).lower()
    ]
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(known) or 'none'}."


def resolved(value: Any) -> Any:
    """A value, or what it returns: secrets may be callables."""
    return value() if callable(value) else value


def derived_key(alias: str) -> str:
    """The development key. SECRET_KEY itself never leaves Django."""
    return salted_hmac("django_jackfield.token", alias, algorithm="sha256").hexdigest()


def in_development() -> bool:
    """Whether DEBUG is on, or this is a test run (which turns DEBUG off by itself)."""
    from django.test.utils import _TestState

    return bool(settings.DEBUG) or hasattr(_TestState, "saved_data")


def _public_url(given: str | None) -> str | None:
    if not in_development():
        return given
    told = _told()
    if told is None:
        return given or DEVELOPMENT_URL
    own = ANY_HOST.get(urlsplit(told).hostname or "")
    return _with_host(told, own) if own else told


def _told() -> str | None:
    """What `runserver` says."""
    return (os.environ.get(URL_VARIABLE) or None) if in_development() else None


def _with_host(url: str, host: str) -> str:
    """The URL with another host, and its port."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host))


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _whole(value: Any) -> bool:
    return _positive(value) and isinstance(value, int)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "BACKEND": (_text, "the dotted path of a class"),
    "OPTIONS": (lambda value: isinstance(value, Mapping), "a dict"),
    "KEYS": (
        lambda value: (
            isinstance(value, list | tuple) and all(callable(key) or _text(key) for key in value)
        ),
        "a list of strings or callables",
    ),
    "PUBLIC_URL": (lambda value: value is None or _text(value), "a ws:// or wss:// URL"),
    "PREFIX": (
        lambda value: _text(value) and not set(value) & set("{} "),
        "a name without braces and spaces",
    ),
    "PARTITIONS": (lambda value: _whole(value) and value <= 1024, "a number from 1 to 1024"),
    "TOKEN_TTL": (_whole, "a number of seconds"),
    "ON_COMMIT": (lambda value: isinstance(value, bool), "True or False"),
    "OUTBOX": (
        lambda value: isinstance(value, bool) or value == "strict",
        'True, False or "strict"',
    ),
    "TIMEOUT": (_positive, "a number of seconds"),
    "BREAKER": (
        lambda value: (
            isinstance(value, list | tuple)
            and len(value) == 2
            and _whole(value[0])
            and _positive(value[1])
        ),
        "(failures, seconds)",
    ),
    "ANONYMOUS": (lambda value: isinstance(value, bool), "True or False"),
    "AUTH": (lambda value: value in AUTHS, '"token", "session" or "both"'),
    "CONNECT_URL": (
        lambda value: value is None or (_text(value) and value.startswith(("http://", "https://"))),
        "an http:// or https:// URL of the connect view",
    ),
}
