"""An event: what the server tells the app, and the answers to calls."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django_jackfield.errors import EventError
from django_jackfield.serialise import to_json

TYPES = frozenset(
    {
        "connect",
        "disconnect",
        "message",
        "node_lost",
        "notices_lost",
        "occupied",
        "publish",
        "refresh",
        "rpc",
        "sub_refresh",
        "subscribe",
        "undelivered",
        "unsubscribe",
        "vacated",
    }
)
CONTENTS = frozenset({"json", "text", "binary"})
TEXT_FIELDS = frozenset(
    {
        "id",
        "type",
        "node",
        "client",
        "user",
        "channel",
        "event",
        "reply_to",
        "token",
        "name",
        "version",
        "transport",
        "protocol",
        "remote",
        "listener",
    }
)
OTHER_FIELDS = frozenset(
    {"v", "call", "content", "data", "seq", "time", "deadline", "meta", "channels"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of spec/app-link.md. `attempt` counts deliveries, from 1."""

    id: str
    type: str
    call: bool = False
    node: str = ""
    client: str = ""
    user: str = ""
    channel: str = ""
    event: str = ""
    content: str = "json"
    raw: bytes = b""
    seq: int = 0
    time: int = 0
    deadline: int = 0
    reply_to: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    name: str = ""
    version: str = ""
    channels: tuple[str, ...] = ()
    transport: str = ""
    protocol: str = ""
    remote: str = ""
    listener: str = ""
    attempt: int = 1

    @property
    def data(self) -> Any:
        """The data in its form: a JSON value, str or bytes. Raises EventError."""
        if self.content == "binary":
            return self.raw
        try:
            text = self.raw.decode()
            if self.content == "text":
                return text
            return json.loads(text) if text else None
        except (ValueError, RecursionError) as error:
            raise EventError(f"data is no {self.content}: {error}") from error

    @property
    def expired(self) -> bool:
        """Whether the answer would come too late."""
        return self.call and 0 < self.deadline < time.time() * 1000

    @classmethod
    def from_fields(cls, fields: Mapping[str, str | bytes], attempt: int = 1) -> Event:
        """Reads the fields as they came. Raises EventError. Fields unknown here are skipped."""
        text = {name: _text(fields, name) for name in fields if name in TEXT_FIELDS}
        version = _text(fields, "v")
        if version != "1":
            raise EventError(f"version {version[:20]!r} is not 1: upgrade one side")
        if not text.get("id") or text.get("type") not in TYPES:
            raise EventError(f"no id, or unknown type {text.get('type', '')[:40]!r}")
        content = _text(fields, "content") or "json"
        if content not in CONTENTS:
            raise EventError(f"unknown content {content[:20]!r}")
        data = fields.get("data", b"")
        return cls(
            **text,
            call=_text(fields, "call") == "1",
            content=content,
            raw=data.encode() if isinstance(data, str) else data,
            seq=_number(fields, "seq"),
            time=_number(fields, "time"),
            deadline=_number(fields, "deadline"),
            meta=_object(fields, "meta") if "meta" in fields else {},
            channels=_names(fields, "channels") if "channels" in fields else (),
            attempt=attempt,
        )


def answer(event_id: str, kind: str, value: Mapping[str, Any]) -> bytes:
    """An answer: `kind` is result, error or disconnect."""
    return to_json({"v": 1, "id": event_id, kind: value})


def _text(fields: Mapping[str, str | bytes], name: str) -> str:
    value = fields.get(name, "")
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise EventError(f"{name} is no UTF-8") from error


def _number(fields: Mapping[str, str | bytes], name: str) -> int:
    text = _text(fields, name)
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise EventError(f"{name} is no number: {text[:20]!r}")
    return int(text)


def _names(fields: Mapping[str, str | bytes], name: str) -> tuple[str, ...]:
    text = _text(fields, name)
    try:
        value = json.loads(text) if text else []
    except (ValueError, RecursionError) as error:
        raise EventError(f"{name} is no JSON: {error}") from error
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise EventError(f"{name} is no list of texts")
    return tuple(value)


def _object(fields: Mapping[str, str | bytes], name: str) -> dict[str, Any]:
    text = _text(fields, name)
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise EventError(f"{name} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise EventError(f"{name} is no JSON object")
    return value
