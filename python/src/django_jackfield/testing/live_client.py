"""A client of a real server, with the face of the fake one."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import Any

from django_jackfield.testing.errors import (
    CallError,
    Denied,
    Disconnected,
    PublishDenied,
    SubscribeDenied,
)
from django_jackfield.testing.received import Received, fitting
from django_jackfield.websocket import WebSocket

PATIENCE_SECONDS = 10.0


class LiveClient:
    """One connection of a user. What comes is read by a thread of its own.

    `received()` tells what has come so far; `wait_for()` waits for it.
    """

    def __init__(self, url: str, token: str = "", data: Any = None) -> None:
        self._link = WebSocket(url, PATIENCE_SECONDS)
        self._changed = threading.Condition()
        self._replies: dict[int, dict[str, Any]] = {}
        self._number = 0
        self.heard: list[Received] = []
        self.channels: dict[str, dict[str, Any]] = {}
        self.left_channels: list[tuple[str, int, str]] = []
        self.connected = True
        self.close: tuple[int, str] | None = None
        self._reader = threading.Thread(target=self._read, name="jackfield-client", daemon=True)
        self._reader.start()
        hello = {"token": token} if token else {}
        try:
            said = self._request(Denied, connect=hello | ({} if data is None else {"data": data}))
        except Exception:
            self.disconnect()
            raise
        self.id: str = said["client"]
        self.welcome: Any = said.get("data")
        self.channels |= said.get("subs", {})

    def subscribe(self, channel: str, data: Any = None, *, token: str = "") -> Any:
        """Comes into a channel. Raises SubscribeDenied."""
        asked: dict[str, Any] = {"channel": channel}
        if token:
            asked["token"] = token
        if data is not None:
            asked["data"] = data
        grant = self._request(SubscribeDenied, subscribe=asked)
        self.channels[channel] = grant
        return grant.get("data")

    def unsubscribe(self, channel: str) -> None:
        """Leaves a channel."""
        self._request(Denied, unsubscribe={"channel": channel})
        self.channels.pop(channel, None)

    def publish(self, channel: str, data: Any = None) -> None:
        """Publishes. Raises PublishDenied."""
        self._request(PublishDenied, publish={"channel": channel, "data": data})

    def send(self, channel: str | None, data: Any = None, event: str = "message") -> None:
        """Says `{"event", "data"}` in a channel, or outside of any where it is None."""
        said = {"event": event, "data": data}
        if channel is None:
            self._request(Denied, send={"data": said})
        else:
            self.publish(channel, said)

    def call(self, method: str, data: Any = None, **arguments: Any) -> Any:
        """Calls an `@rpc` function, with one value or with arguments by name. Raises CallError."""
        said = arguments or data
        return self._request(CallError, rpc={"method": method, "data": said}).get("data")

    def presence(self, channel: str) -> dict[str, dict[str, Any]]:
        """Who is in a channel. Raises Denied."""
        found = self._request(Denied, presence={"channel": channel}).get("presence", {})
        return {id: {"user": ""} | member for id, member in found.items()}

    def history(self, channel: str, *, limit: int = -1) -> list[Received]:
        """The publications of a channel. Raises Denied."""
        found = self._request(Denied, history={"channel": channel, "limit": limit})
        return [_received(channel, one) for one in found.get("publications", ())]

    def ping(self) -> None:
        """Comes back when the server has answered: what it sent before has been read."""
        self._request(Denied, ping={})

    def received(self, channel: str | None = None, event: str | None = None) -> list[Received]:
        """What it has heard so far: publications, and messages to its user (channel "")."""
        with self._changed:
            return fitting(self.heard, channel, event)

    def wait_for(
        self,
        count: int = 1,
        channel: str | None = None,
        event: str | None = None,
        timeout: float = PATIENCE_SECONDS,
    ) -> list[Received]:
        """Waits until it has heard so many, and gives them. Raises AssertionError."""
        self._wait(
            lambda: len(fitting(self.heard, channel, event)) >= count,
            timeout,
            lambda: f"{count} publication(s) of {channel or 'any channel'}; heard: {self.heard}",
        )
        return self.received(channel, event)

    def wait_for_end(self, timeout: float = PATIENCE_SECONDS) -> tuple[int, str] | None:
        """Waits until the server has ended the connection, and tells its code and reason."""
        self._wait(lambda: not self.connected, timeout, lambda: "the end of the connection")
        return self.close

    def disconnect(self) -> None:
        """Goes."""
        self._link.shut()
        self._reader.join(PATIENCE_SECONDS)
        self._link.close()

    def __enter__(self) -> LiveClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    def _request(self, refusal: type[Denied], **command: Any) -> dict[str, Any]:
        with self._changed:
            self._number += 1
            number = self._number
        with contextlib.suppress(OSError):  # Why: the reader knows the reason.
            self._link.write(json.dumps({"id": number, **command}))
        self._wait(
            lambda: number in self._replies or not self.connected,
            PATIENCE_SECONDS,
            lambda: f"a reply to {command}",
        )
        reply = self._replies.pop(number, None)
        if reply is None:
            raise Disconnected(*(self.close or (3000, "connection closed")))
        if "error" in reply:
            error = reply["error"]
            raise refusal(error["code"], error["message"], temporary=error.get("temporary", False))
        result: dict[str, Any] = reply.get(next(iter(command))) or {}
        return result

    def _wait(self, condition: Any, timeout: float, what: Any) -> None:
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if not self._changed.wait(max(0.0, end - time.monotonic())):
                    raise AssertionError(f"within {timeout:g} s there was no sign of {what()}")

    def _read(self) -> None:
        while (text := self._link.read()) is not None:
            for line in text.splitlines():
                self._take(json.loads(line))
        with self._changed:
            self.connected = False
            self.close = self.close or self._link.close_reason
            self._changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        if not message:
            self._link.write("{}")
            return
        with self._changed:
            if "id" in message:
                self._replies[message["id"]] = message
            else:
                self._push(message.get("push") or {})
            self._changed.notify_all()

    def _push(self, push: dict[str, Any]) -> None:
        channel = push.get("channel", "")
        if "pub" in push:
            self.heard.append(_received(channel, push["pub"]))
        elif "message" in push:
            self.heard.append(Received("", push["message"].get("data")))
        elif "subscribe" in push:
            self.channels[channel] = push["subscribe"]
        elif "unsubscribe" in push:
            self.channels.pop(channel, None)
            said = push["unsubscribe"]
            self.left_channels.append((channel, said.get("code", 0), said.get("reason", "")))


def _received(channel: str, publication: dict[str, Any]) -> Received:
    info = publication.get("info") or {}
    return Received(
        channel,
        publication.get("data"),
        offset=publication.get("offset"),
        user=info.get("user"),
        client=info.get("client"),
        tags=publication.get("tags") or {},
        key=publication.get("key"),
    )
