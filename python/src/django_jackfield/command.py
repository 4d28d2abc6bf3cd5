"""A command: what the app tells the server, or asks of it."""

from __future__ import annotations

import base64
import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django_jackfield.errors import checked_close_code
from django_jackfield.serialise import to_json

MAX_PAYLOAD_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the history of a channel."""

    offset: int
    epoch: str


def new_id() -> str:
    """A UUIDv7: sorts by time."""
    # By hand: a UUID object costs more than all the rest of a short publication.
    moment, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10).hex()
    return (
        f"{moment[:8]}-{moment[8:]}-7{chance[:3]}-"
        f"{'89ab'[int(chance[3], 16) & 3]}{chance[4:7]}-{chance[7:19]}"
    )


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it goes on the wire. The payload is JSON from the moment it is made."""

    method: str
    payload: bytes
    key: str
    id: str = field(default_factory=new_id)

    def partition(self, partitions: int) -> int:
        """The partition this command travels through."""
        return zlib.crc32(self.key.encode()) % partitions

    @property
    def fields(self) -> dict[str, Any]:
        """The payload, parsed anew."""
        parsed: dict[str, Any] = json.loads(self.payload)
        return parsed

    @property
    def channels(self) -> list[str]:
        """The channels it is for; empty for commands about users and clients."""
        fields = self.fields
        return fields.get("channels") or ([fields["channel"]] if "channel" in fields else [])

    @property
    def data(self) -> Any:
        """What was published: a JSON value, str (text) or bytes (b64data)."""
        fields = self.fields
        if "b64data" in fields:
            return base64.b64decode(fields["b64data"])
        return fields["text"] if "text" in fields else fields.get("data")

    @classmethod
    def make(cls, method: str, payload: Mapping[str, Any], id: str | None = None) -> Command:
        """Serialises a payload."""
        raw = to_json(payload)
        if len(raw) > MAX_PAYLOAD_BYTES:
            raise ValueError(
                f"{method}: {len(raw)} bytes of JSON exceed the server's limit of "
                f"{MAX_PAYLOAD_BYTES}; publish a reference and let clients fetch the rest"
            )
        return cls(method, raw, _key(payload), id or new_id())


def publication(
    channel: str | Sequence[str],
    data: Any = None,
    *,
    text: str | None = None,
    id: str | None = None,
    tags: Mapping[str, str] | None = None,
    skip_history: bool = False,
    key: str | None = None,
    delta: bool = False,
    idempotency_key: str | None = None,
    version: int | None = None,
    version_epoch: str | None = None,
) -> Command:
    """A publish, or a broadcast if `channel` is a list."""
    payload: dict[str, Any]
    if isinstance(channel, str):
        method, payload = "publish", {"channel": _named("channel", channel)}
    else:
        names = [_named("channel", name) for name in channel]
        if not names:
            raise ValueError("publish: the list of channels is empty")
        method, payload = "broadcast", {"channels": names}
    payload |= _content(data, text)
    if tags:
        payload["tags"] = dict(tags)
    if skip_history:
        payload["skip_history"] = True
    if key is not None:
        payload["key"] = _named("key", key)
    if delta:
        payload["delta"] = True
    if idempotency_key is not None:
        payload["idempotency_key"] = _named("idempotency_key", idempotency_key)
    return Command.make(method, payload | _version(version, version_epoch), id)


def message(user: str, data: Any = None, *, text: str | None, id: str | None = None) -> Command:
    """A send to all connections of a user."""
    return Command.make("send", {"user": _named("user", user)} | _content(data, text), id)


def disconnection(
    user: str | None, client: str | None, code: int | None = None, reason: str = ""
) -> Command:
    """A disconnect of a user, or of one connection."""
    if user is None and client is None:
        raise TypeError("disconnect: name a user or a client")
    payload: dict[str, Any] = {}
    if user is not None:
        payload["user"] = _named("user", user)
    if client is not None:
        payload["client"] = _named("client", client)
    if code is not None:
        payload["code"] = checked_close_code(code)
    if reason:
        payload["reason"] = reason
    return Command.make("disconnect", payload)


def question(method: str, channel: str) -> Command:
    """An ask for presence or presence_stats."""
    return Command.make(method, {"channel": _named("channel", channel)})


def client_question(
    method: str,
    data: Any,
    target: Mapping[str, str | None],
    text: str | None,
    timeout_ms: int,
) -> Command:
    """A question to one client."""
    payload: dict[str, Any] = {
        name: _named(name, value) for name, value in target.items() if value is not None
    }
    if not payload:
        raise TypeError("ask_client: name a user, a client or a session")
    payload |= {"method": _named("method", method), "timeout": timeout_ms}
    return Command.make("call", payload | _content(data, text))


def history_question(
    channel: str,
    limit: int,
    since: Position | Mapping[str, Any] | None,
    reverse: bool | None,
) -> Command:
    """An ask for history."""
    payload: dict[str, Any] = {"channel": _named("channel", channel), "limit": limit}
    if isinstance(since, Position):
        since = {"offset": since.offset, "epoch": since.epoch}
    if since is not None:
        payload["since"] = dict(since)
    if reverse is not None:
        payload["reverse"] = reverse
    return Command.make("history", payload)


def payload_key(raw: bytes) -> str:
    """What decides the partition of a payload, be it one that no server understands."""
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    channels = payload.get("channels") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or ("channels" in payload and not channels):
        return ""
    return _key(payload) if not isinstance(channels, str | dict) else ""


def _key(payload: Mapping[str, Any]) -> str:
    if "channel" in payload:
        return str(payload["channel"])
    if "channels" in payload:
        return str(payload["channels"][0])
    return str(payload.get("user") or payload.get("client") or "")


def _content(data: Any, text: str | None) -> dict[str, Any]:
    if text is not None:
        if data is not None:
            raise TypeError("give data or text, not both")
        return {"text": text}
    if isinstance(data, bytes | bytearray | memoryview):
        return {"b64data": base64.b64encode(bytes(data)).decode()}
    return {"data": data}


def _version(version: int | None, epoch: str | None) -> dict[str, Any]:
    if version is None:
        if epoch is not None:
            raise TypeError("version_epoch is the life of a count: give version too")
        return {}
    if isinstance(version, bool) or not isinstance(version, int) or not 0 < version < 1 << 64:
        raise ValueError(f"version must be a whole number from 1, not {version!r}")
    return {"version": version} | ({} if epoch is None else {"version_epoch": epoch})


def _named(what: str, value: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} must be a non-empty string, not {value!r}")
    return value
