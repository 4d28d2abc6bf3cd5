"""A fake browser: what a client of the server could do, in the process of the test."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.command import new_id
from django_jackfield.dispatch import Dispatcher, Outcome
from django_jackfield.errors import AskError, EventError, UnhandledEvent
from django_jackfield.event import Event
from django_jackfield.push import user_id
from django_jackfield.serialise import to_json
from django_jackfield.testing import tokens
from django_jackfield.testing.commit import as_if_committed
from django_jackfield.testing.errors import (
    CallError,
    Denied,
    Disconnected,
    NotHandled,
    PublishDenied,
    SubscribeDenied,
    denied,
)
from django_jackfield.testing.received import Received, fitting
from django_jackfield.testing.rights import Rights, rights
from django_jackfield.testing.server import FakeServer, new_client_id, plain, server

Fields = dict[str, str | bytes]
Answer = Callable[[Any], Any]


class JackfieldClient:
    """One connection of a user, or of nobody. What it does runs in the test's transaction.

    Events are made as the server makes them and go through the worker's decoding, permissions and
    handlers. What a handler has to send on commit is sent when it is done, as in the worker.
    With `raise_handler_exception` an exception of a handler reaches the test; without it the
    client gets what a real one would: an error 100, or nothing where nobody waits for an answer.
    """

    def __init__(
        self,
        user: Any = None,
        *,
        data: Any = None,
        token: str = "",
        info: Any = None,
        meta: Mapping[str, Any] | None = None,
        channels: Iterable[str] = (),
        token_id: str = "",
        listener: str = "/connection/websocket",
        raise_handler_exception: bool = True,
        via: str = "default",
        server: FakeServer = server,
    ) -> None:
        self.id = new_client_id()
        self.user_id = "" if user is None or getattr(user, "is_anonymous", False) else user_id(user)
        self.info = info
        self.meta: Mapping[str, Any] = meta or {}
        self.token = token
        self.token_id = token_id
        self.data = data
        self.listener = listener
        self.raise_handler_exception = raise_handler_exception
        self.connected = False
        self.close: tuple[int, str] | None = None
        """Code and reason with which the server ended the connection."""
        self.welcome: Any = None
        """What `@connecting` said to the client."""
        self.channels: dict[str, dict[str, Any]] = {}
        """What the server knows of each channel that the client is in."""
        self.left_channels: list[tuple[str, int, str]] = []
        """Channels that the server took the client out of, with code and reason."""
        self.heard: list[Received] = []
        self.answers: dict[str, Answer] = {}
        self._given = tuple(channels)
        self._seq = 0
        self._server = server
        self._dispatcher = Dispatcher(server.registry, via)

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<JackfieldClient {self.id} of user {self.user_id!r}, {state}>"

    # Coming and going.

    def connect(self) -> JackfieldClient:
        """Comes in. A user has a token; without one `@connecting` is asked, if there is any.

        Raises Disconnected or Denied where the app refuses.
        """
        if self.connected:
            return self
        asked = not self.user_id and self._server.registry.connecting_for(self.listener)
        grants: dict[str, Any] = {channel: {} for channel in self._given}
        if asked:
            result = self._ask("connect", Denied, data=self.data, token=self.token)
            self.user_id = result.get("user", "")
            self.info = result.get("info")
            self.meta = result.get("meta") or {}
            self.welcome = result.get("data")
            grants = {channel: {} for channel in result.get("channels", ())}
            grants |= result.get("subs", {})
        self.connected = True
        self.close = None
        self._server.clients[self.id] = self
        if not asked:
            self._tell("connect", data=self.data)
        for channel, grant in grants.items():
            self.enter(channel, grant)
        return self

    def disconnect(self, code: int = 1000, reason: str = "") -> None:
        """Goes by itself. 1000 says a goodbye, 3000 is a socket that just ended."""
        if self.connected:
            self.closed(code, reason, by_itself=True)

    def closed(self, code: int, reason: str, *, by_itself: bool = False) -> None:
        """The connection ends; the app hears of it."""
        if not self.connected:
            return
        self.connected = False
        self.close = None if by_itself else (code, reason)
        self._server.clients.pop(self.id, None)
        for channel in list(self.channels):
            del self.channels[channel]
            self._tell("unsubscribe", channel=channel, data={"code": code, "reason": reason})
        self._tell("disconnect", data={"code": code, "reason": reason})

    # Channels.

    def subscribe(self, channel: str, data: Any = None, *, token: str = "") -> Any:
        """Comes into a channel, and gives what its Subscription has for the client.

        Raises SubscribeDenied.
        """
        self._must_be_connected()
        if channel in self.channels:
            raise denied(SubscribeDenied, 105)
        grant = self._allowed_in(channel, data, token)
        self.enter(channel, grant)
        return grant.get("data")

    def _allowed_in(self, channel: str, data: Any, token: str) -> dict[str, Any]:
        found = self._rights(channel, SubscribeDenied)
        if token:
            return self._opened_by(token, channel)
        if found.asks("subscribe"):
            return self._ask("subscribe", SubscribeDenied, channel=channel, data=data, token=token)
        if channel.startswith("$") or not self._allows(found, "subscribe", channel):
            raise denied(SubscribeDenied, 103)
        return {}

    def _opened_by(self, token: str, channel: str) -> dict[str, Any]:
        """A subscription token decides alone."""
        try:
            claims = tokens.read(token, self._dispatcher.via)
        except tokens.NotTrusted as error:
            raise denied(SubscribeDenied, 103) from error
        if tokens.is_expired(claims):
            raise denied(SubscribeDenied, 109)
        theirs = claims.get("client") not in (None, "", self.id)
        if claims.get("channel") != channel or claims.get("sub", "") != self.user_id or theirs:
            self.closed(3500, "invalid token")
            raise Disconnected(3500, "invalid token")
        return {name: claims[name] for name in ("info", "data") if name in claims}

    def enter(self, channel: str, grant: Mapping[str, Any]) -> None:
        """The server puts the client into a channel; the app hears of it."""
        if channel not in self.channels:
            self.channels[channel] = dict(grant)
            self._tell("subscribe", channel=channel)

    def put_in(self, channel: str, grant: Mapping[str, Any]) -> None:
        """The app puts the client into a channel. One that is in it has another right at most."""
        publish = (grant.get("override") or {}).get("publish")
        if channel not in self.channels:
            self.enter(channel, grant)
        elif publish is not None:
            kept = self.channels[channel]
            kept["override"] = {**(kept.get("override") or {}), "publish": publish}

    def unsubscribe(self, channel: str) -> None:
        """Leaves a channel."""
        self._must_be_connected()
        self.left(channel, 0, "client unsubscribed")

    def left(self, channel: str, code: int, reason: str) -> None:
        """The client is out of a channel; the app hears of it."""
        if self.channels.pop(channel, None) is None:
            return
        if code:
            self.left_channels.append((channel, code, reason))
        self._tell("unsubscribe", channel=channel, data={"code": code, "reason": reason})

    def publish(self, channel: str, data: Any = None) -> Any:
        """Publishes: to the handlers of the channel's class, or to the other subscribers.

        Raises PublishDenied. Gives what the handler returned, if the worker answers messages.
        """
        self._must_be_connected()
        found = self._rights(channel, PublishDenied)
        data = plain(data)
        asked: dict[str, Any] = {}
        if found.asks("publish"):
            asked = self._ask("publish", PublishDenied, channel=channel, data=data)
            data = asked.get("data", data)
        elif not self._allows(found, "publish", channel):
            raise denied(PublishDenied, 103)
        if found.goes_to_app:
            return self._message(channel, data)
        return self._published(channel, data, asked)

    def send(self, channel: str | None, data: Any = None, event: str = "message") -> Any:
        """Says `{"event", "data"}` in a channel, or outside of any where it is None."""
        self._must_be_connected()
        said = {"event": event, "data": data}
        return self._message("", said) if channel is None else self.publish(channel, said)

    def call(self, method: str, data: Any = None, **arguments: Any) -> Any:
        """Calls an `@rpc` function, with one value or with arguments by name. Raises CallError."""
        self._must_be_connected()
        if data is not None and arguments:
            raise TypeError("call: give data or arguments by name, not both")
        said = arguments or data
        return self._ask("rpc", CallError, event=method, data=said).get("data")

    def presence(self, channel: str) -> dict[str, dict[str, Any]]:
        """Who is in a channel, where its class has `presence`. Raises Denied."""
        self._readable(channel, "presence")
        return {one.id: one.member(channel) for one in self._server.members(channel)}

    def history(self, channel: str, *, limit: int = -1, since: int = 0) -> list[Received]:
        """The publications of a channel, where its class has `history`. Raises Denied."""
        size = self._readable(channel, "history").options["history_size"]
        fields = {"channel": channel, "limit": limit, "since": {"offset": since}}
        found = self._server.ask_fields("history", fields)["publications"][-size:]
        return [Received(channel, one.get("data"), offset=one["offset"]) for one in found]

    # What the client hears, and is asked.

    def received(self, channel: str | None = None, event: str | None = None) -> list[Received]:
        """What it has heard so far: publications, and messages to its user (channel "")."""
        return fitting(self.heard, channel, event)

    def clear(self) -> None:
        """Forgets what it has heard."""
        self.heard.clear()

    def answers_with(self, method: str, answer: Answer) -> None:
        """Says what the client answers when the app asks it something (`ask_client`)."""
        self.answers[method] = answer

    def answer(self, method: str, data: Any) -> Any:
        """The answer to a question of the app."""
        if method not in self.answers:
            raise AskError(400, f"the client has no answer to {method!r}: use answers_with()")
        return plain(self.answers[method](data))

    def member(self, channel: str) -> dict[str, Any]:
        """What others see of it in a channel."""
        said = {"user": self.user_id, "client": self.id}
        infos = {"conn_info": self.info, "chan_info": self.channels.get(channel, {}).get("info")}
        return said | {name: info for name, info in infos.items() if info is not None}

    def described(self) -> dict[str, Any]:
        """What the app is told of the connection."""
        return {
            "user": self.user_id,
            "transport": "websocket",
            "protocol": "json",
            "listener": self.listener,
            "remote": "127.0.0.1",
            "state": {"channels": {channel: {} for channel in self.channels}},
        }

    def may_write(self, channel: str) -> bool:
        """Whether it may write in a document that it is in."""
        override = self.channels.get(channel, {}).get("override") or {}
        return bool(override.get("publish", {}).get("value"))

    # Twins for async tests.

    async def aconnect(self) -> JackfieldClient:
        """`connect` for async tests."""
        return await sync_to_async(self.connect)()

    async def adisconnect(self) -> None:
        """`disconnect` for async tests."""
        await sync_to_async(self.disconnect)()

    async def asubscribe(self, channel: str, data: Any = None, *, token: str = "") -> Any:
        """`subscribe` for async tests."""
        return await sync_to_async(self.subscribe)(channel, data, token=token)

    async def aunsubscribe(self, channel: str) -> None:
        """`unsubscribe` for async tests."""
        await sync_to_async(self.unsubscribe)(channel)

    async def apublish(self, channel: str, data: Any = None) -> Any:
        """`publish` for async tests."""
        return await sync_to_async(self.publish)(channel, data)

    async def asend(self, channel: str | None, data: Any = None, event: str = "message") -> Any:
        """`send` for async tests."""
        return await sync_to_async(self.send)(channel, data, event)

    async def acall(self, method: str, data: Any = None, **arguments: Any) -> Any:
        """`call` for async tests."""
        return await sync_to_async(self.call)(method, data, **arguments)

    # The way into the worker's code.

    def _published(self, channel: str, data: Any, asked: Mapping[str, Any]) -> None:
        kept = {name: asked[name] for name in ("tags", "key") if asked.get(name) is not None}
        self._server.publish(channel, {"data": data, "info": self.member(channel), **kept}, data)

    def _message(self, channel: str, data: Any) -> Any:
        outcome = self._handle("message", channel=channel, event="message", data=data)
        if outcome.dead:
            if not self.raise_handler_exception:
                return None
            if outcome.error is None or isinstance(outcome.error, UnhandledEvent | EventError):
                raise NotHandled(outcome.dead) from outcome.error
            raise outcome.error
        if outcome.error is not None and self.raise_handler_exception:
            raise outcome.error
        said = json.loads(outcome.answer) if outcome.answer else {}
        return self._result(said, PublishDenied, outcome).get("data") if said else None

    def _readable(self, channel: str, what: str) -> Rights:
        self._must_be_connected()
        found = self._rights(channel, Denied)
        kept = found.keeps_history if what == "history" else found.options.get(what)
        if not kept:
            raise denied(Denied, 108)
        if not self._allows(found, what, channel):
            raise denied(Denied, 103)
        return found

    def _rights(self, channel: str, refusal: type[Denied]) -> Rights:
        found = rights(self._server.registry, channel)
        if found.refusal:
            raise denied(refusal, found.refusal)
        return found

    def _allows(self, found: Rights, what: str, channel: str) -> bool:
        return found.allows(what, user=self.user_id, is_in=channel in self.channels)

    def _ask(self, kind: str, refusal: type[Denied], **fields: Any) -> dict[str, Any]:
        outcome = self._handle(kind, call=True, **fields)
        return self._result(json.loads(outcome.answer or b"{}"), refusal, outcome)

    def _result(
        self, said: Mapping[str, Any], refusal: type[Denied], outcome: Outcome
    ) -> dict[str, Any]:
        if "disconnect" in said:
            code, reason = said["disconnect"]["code"], said["disconnect"].get("reason", "")
            self.closed(code, reason)
            raise Disconnected(code, reason)
        if "error" in said:
            error = said["error"]
            if outcome.error is not None and self.raise_handler_exception:
                raise outcome.error
            raise refusal(error["code"], error["message"], temporary=error.get("temporary", False))
        result: dict[str, Any] = said.get("result", {})
        return result

    def _tell(self, kind: str, **fields: Any) -> None:
        """A notice. Nobody waits for it, but a test wants to know what went wrong."""
        outcome = self._handle(kind, **fields)
        if outcome.dead and outcome.error is not None and self.raise_handler_exception:
            raise outcome.error

    def _handle(self, kind: str, *, call: bool = False, **fields: Any) -> Outcome:
        """Makes the event as it would come from the queue, and has it handled."""
        self._seq += 1
        now = int(time.time() * 1000)
        event: Fields = {
            "v": "1",
            "id": new_id(),
            "type": kind,
            "node": "locmem",
            "client": self.id,
            "user": self.user_id,
            "seq": str(self._seq),
            "time": str(now),
            "transport": "websocket",
            "protocol": "centrifugo-json",
            "remote": "127.0.0.1:50000",
            "listener": self.listener,
            "meta": to_json(self.meta),
            "content": "json",
        }
        if call:
            event |= {"call": "1", "deadline": str(now + 10_000), "reply_to": "locmem"}
        data = fields.pop("data", None)
        if isinstance(data, bytes | bytearray):
            event |= {"content": "binary", "data": bytes(data)}
        elif data is not None:
            event["data"] = to_json(data)
        event |= {name: value for name, value in fields.items() if value}
        with as_if_committed():
            return self._dispatcher.handle(Event.from_fields(event))

    def _must_be_connected(self) -> None:
        if not self.connected:
            raise Disconnected(*(self.close or (3000, "not connected")))
