"""A server that is not there: what commands of the app do to the fake clients of a test."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django_jackfield.command import Command
from django_jackfield.errors import AskError
from django_jackfield.registry import Registry, discover
from django_jackfield.testing.received import Received

if TYPE_CHECKING:
    from django_jackfield.testing.client import JackfieldClient

EPOCH = "locmem"


class FakeServer:
    """Connections, channels and their histories, for the length of a test.

    The locmem backend hands every command to it, so publications reach the clients of
    `jackfield_client()`, and `presence()`, `history()` and the like have something to tell.
    """

    def __init__(self) -> None:
        self.clients: dict[str, JackfieldClient] = {}
        self.streams: dict[str, list[dict[str, Any]]] = {}
        self._seen: set[str] = set()
        self._keys: set[tuple[str, str]] = set()
        self._versions: dict[str, tuple[str, int]] = {}

    def reset(self) -> None:
        """Forgets everything. Nobody is told."""
        self.clients.clear()
        self.forget()

    def forget(self) -> None:
        """Forgets what was published; clients stay."""
        self.streams.clear()
        self._seen.clear()
        self._keys.clear()
        self._versions.clear()

    @property
    def registry(self) -> Registry:
        """The handlers of the project."""
        return discover()

    # Commands of the app.

    def apply(self, command: Command) -> None:
        """Does what a command says, once for each id."""
        if command.id not in self._seen:
            self._seen.add(command.id)
            does = self._commands.get(command.method)
            if does is not None:
                does(self, command, command.fields)

    def ask(self, command: Command) -> dict[str, Any]:
        """The result of a command that wants one. Raises AskError."""
        if command.method in self._questions:
            return self.ask_fields(command.method, command.fields)
        if command.method in self._commands:
            self.apply(command)
            return {}
        raise AskError(104, "method not found")

    def ask_fields(self, method: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The answer to a question."""
        return self._questions[method](self, fields)

    def publish(self, channel: str, publication: dict[str, Any], raw: Any) -> None:
        """Puts a publication into a channel: its history, and whoever is in."""
        offset = None
        if not publication.pop("skip_history", False):
            stream = self.streams.setdefault(channel, [])
            offset = stream[-1]["offset"] + 1 if stream else 1
            stream.append({"offset": offset} | publication)
        info = publication.get("info") or {}
        received = Received(
            channel,
            raw,
            offset=offset,
            user=info.get("user"),
            client=info.get("client"),
            tags=publication.get("tags") or {},
            key=publication.get("key"),
        )
        for client in self.members(channel):
            client.heard.append(received)

    def members(self, channel: str) -> list[JackfieldClient]:
        """Who is in a channel, in the order in which they connected."""
        return [client for client in self.clients.values() if channel in client.channels]

    def _published(self, command: Command, fields: dict[str, Any]) -> None:
        names = ("data", "b64data", "tags", "key", "skip_history")
        kept: dict[str, Any] = {name: fields[name] for name in names if name in fields}
        if "text" in fields:
            kept["data"] = fields["text"]
        for channel in command.channels:
            if self._is_new(channel, fields):
                self.publish(channel, dict(kept), command.data)

    def _is_new(self, channel: str, fields: dict[str, Any]) -> bool:
        """Whether the channel takes it: what comes twice, or is older, it does not."""
        key = fields.get("idempotency_key")
        if key is not None:
            if (channel, key) in self._keys:
                return False
            self._keys.add((channel, key))
        version = fields.get("version")
        if version:
            life = fields.get("version_epoch", "")
            last = self._versions.get(channel)
            if last is not None and last[0] == life and version <= last[1]:
                return False
            self._versions[channel] = (life, version)
        return True

    def _sent(self, command: Command, fields: dict[str, Any]) -> None:
        for client in self._meant({"user": fields["user"]}):
            client.heard.append(Received("", command.data))

    def _disconnected(self, command: Command, fields: dict[str, Any]) -> None:
        said = fields.get("disconnect") or fields
        code, reason = said.get("code", 3503), said.get("reason") or "force disconnect"
        for client in self._meant(fields):
            if client.id not in fields.get("whitelist", ()):
                client.closed(code, reason)

    def _revoked(self, command: Command, fields: dict[str, Any]) -> None:
        code = 3005 if fields.get("renew") else 3500
        for client in list(self.clients.values()):
            if client.token_id == fields["uid"]:
                client.closed(code, "invalid token")

    def _invalidated(self, command: Command, fields: dict[str, Any]) -> None:
        code = 3005 if fields.get("renew") else 3500
        for client in self._meant({"user": fields["user"]}):
            client.closed(code, "invalid token")

    def _blocked(self, command: Command, fields: dict[str, Any]) -> None:
        for client in self._meant({"user": fields["user"]}):
            client.closed(3507, "user blocked")

    def _subscribed(self, command: Command, fields: dict[str, Any]) -> None:
        grant: dict[str, Any] = {
            name: fields[name] for name in ("info", "override") if name in fields
        }
        for client in self._meant(fields):
            client.put_in(fields["channel"], grant)

    def _unsubscribed(self, command: Command, fields: dict[str, Any]) -> None:
        for client in self._meant(fields):
            code = fields.get("code", 2000)
            client.left(fields["channel"], code, fields.get("reason") or "server unsubscribe")

    def _meant(self, target: dict[str, Any]) -> list[JackfieldClient]:
        """The connections that fit all that is given."""
        wanted = {name: target[name] for name in ("user", "client") if target.get(name) is not None}
        if not wanted:
            return []
        return [
            client
            for client in self.clients.values()
            if client.user_id == wanted.get("user", client.user_id)
            and client.id == wanted.get("client", client.id)
        ]

    # Questions of the app.

    def _must_keep(self, channel: str, what: str) -> None:
        """A channel of a class keeps what its class says; one without a class, everything."""
        match = self.registry.match(channel)
        if match is not None and not match.channel.option(what):
            raise AskError(108, "not available")

    def _presence(self, fields: dict[str, Any]) -> dict[str, Any]:
        channel = fields["channel"]
        self._must_keep(channel, "presence")
        return {"presence": {one.id: one.member(channel) for one in self.members(channel)}}

    def _presence_stats(self, fields: dict[str, Any]) -> dict[str, Any]:
        self._must_keep(fields["channel"], "presence")
        members = self.members(fields["channel"])
        users = {client.user_id for client in members}
        return {"num_clients": len(members), "num_users": len(users)}

    def _history(self, fields: dict[str, Any]) -> dict[str, Any]:
        self._must_keep(fields["channel"], "history")
        stream = self.streams.get(fields["channel"], [])
        since, limit = fields.get("since") or {}, fields.get("limit", 0)
        after = since.get("offset", 0)
        newer = [one for one in stream if one["offset"] > after]
        if fields.get("reverse"):
            newer = [one for one in reversed(stream) if not after or one["offset"] < after]
        return {
            "publications": newer if limit < 0 else newer[:limit],
            "epoch": EPOCH,
            "offset": stream[-1]["offset"] if stream else 0,
        }

    def _channels(self, fields: dict[str, Any]) -> dict[str, Any]:
        from fnmatch import fnmatchcase

        names = sorted({name for client in self.clients.values() for name in client.channels})
        pattern = fields.get("pattern") or "*"
        return {
            "channels": {
                name: {"num_clients": len(self.members(name))}
                for name in names
                if fnmatchcase(name, pattern)
            }
        }

    def _connections(self, fields: dict[str, Any]) -> dict[str, Any]:
        every: Iterable[JackfieldClient] = self.clients.values()
        named = any(fields.get(name) is not None for name in ("user", "client", "session"))
        found = self._meant(fields) if named else every
        return {"connections": {client.id: client.described() for client in found}}

    def _info(self, fields: dict[str, Any]) -> dict[str, Any]:
        clients = self.clients.values()
        node = {
            "uid": "locmem",
            "name": "locmem",
            "version": "0",
            "num_clients": len(clients),
            "num_users": len({client.user_id for client in clients}),
            "num_subs": sum(len(client.channels) for client in clients),
            "num_channels": len({name for client in clients for name in client.channels}),
            "uptime": 0,
        }
        return {"nodes": [node]}

    def _call(self, fields: dict[str, Any]) -> dict[str, Any]:
        found = self._meant(fields)
        if len(found) > 1:
            raise AskError(107, "several connections match: name one by its client id")
        if not found:
            raise AskError(108, "no such connection")
        return {"data": found[0].answer(fields["method"], fields.get("data"))}

    _commands: dict[str, Callable[[FakeServer, Command, dict[str, Any]], None]] = {
        "block_user": _blocked,
        "broadcast": _published,
        "disconnect": _disconnected,
        "invalidate_user_tokens": _invalidated,
        "publish": _published,
        "revoke_token": _revoked,
        "send": _sent,
        "subscribe": _subscribed,
        "unsubscribe": _unsubscribed,
    }
    _questions: dict[str, Callable[[FakeServer, dict[str, Any]], dict[str, Any]]] = {
        "call": _call,
        "channels": _channels,
        "connections": _connections,
        "history": _history,
        "info": _info,
        "presence": _presence,
        "presence_stats": _presence_stats,
    }


def new_client_id() -> str:
    """The id of a connection."""
    return str(uuid.uuid4())


def plain(value: Any) -> Any:
    """A value as it comes out of JSON."""
    from django_jackfield.serialise import to_json

    return json.loads(to_json(value))


server = FakeServer()
