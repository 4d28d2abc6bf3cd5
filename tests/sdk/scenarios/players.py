"""The stage of the scenarios in Python: one server per module, and actors that speak JSON or Protobuf with the unmodified SDK."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from centrifuge import Client, Subscription
from cutter import Cutter
from serving import PATIENCE, Server
from speakers import token, unique
from test_centrifuge_python import Heard, until

CONFIG = (Path(__file__).parent / "jackfield.toml").read_text()
KEY = "a-key-of-the-tests"
DELAYS = {"min_resubscribe_delay": 0.02, "max_resubscribe_delay": 0.1}


class ApiError(Exception):
    """An error of the server API, with its code."""

    def __init__(self, code: int, message: str):
        super().__init__(f"{code} {message}")
        self.code = code


def call(server: Server, method: str, **body: Any) -> Any:
    """Calls the server API; gives the result, or raises the error with its code."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.internal}/api/{method}",
        json.dumps(body).encode(),
        {"X-API-Key": KEY, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            reply = json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method}: {error.code} {error.read().decode()}") from error
    if "error" in reply:
        raise ApiError(reply["error"]["code"], reply["error"]["message"])
    return reply["result"]


def own(namespace: str) -> str:
    """A channel that no other scenario has."""
    return unique(f"{namespace}:p{os.getpid()}-")


class Listened(Heard):
    """What a subscription, or the server-side ones of a client, heard."""

    def __init__(self, actor: Actor):
        super().__init__()
        self.actor = actor

    def values(self) -> list[Any]:
        return [self.actor.read(context.pub.data) for context in self.all("publication")]

    def offsets(self) -> list[int]:
        return [context.pub.offset for context in self.all("publication")]


class Actor:
    """What one scenario plays with: clients of one encoding, and the server API."""

    def __init__(self, server: Server, encoding: str):
        self.server, self.encoding = server, encoding
        self.clients: list[Client] = []
        self.cutters: list[Cutter] = []

    def pack(self, value: Any) -> Any:
        return json.dumps(value).encode() if self.encoding == "protobuf" else value

    def read(self, data: Any) -> Any:
        return json.loads(data) if data and self.encoding == "protobuf" else data

    async def api(self, method: str, **body: Any) -> Any:
        return await asyncio.to_thread(call, self.server, method, **body)

    async def publish(self, channel: str, data: Any, **more: Any) -> Any:
        return await self.api("publish", channel=channel, data=data, **more)

    def client(self, user: str = "ann", *, port: int | None = None, claims: Any = None, **options: Any) -> tuple[Client, Listened]:
        heard = Listened(self)
        options.setdefault("token", token(user, **(claims or {})))
        client = Client(
            f"ws://127.0.0.1:{port or self.server.port}/connection/websocket",
            events=heard,
            use_protobuf=self.encoding == "protobuf",
            min_reconnect_delay=0.02,
            max_reconnect_delay=0.1,
            proxy=None,
            **options,
        )
        self.clients.append(client)
        return client, heard

    async def connected(self, user: str = "ann", **options: Any) -> tuple[Client, Listened]:
        client, heard = self.client(user, **options)
        await client.connect()
        await client.ready(PATIENCE)
        return client, heard

    async def cuttable(self, user: str = "ann", **options: Any) -> tuple[Client, Listened, Cutter]:
        """A client whose connection can be cut."""
        cutter = Cutter(self.server.port).__enter__()
        self.cutters.append(cutter)
        client, heard = await self.connected(user, port=cutter.port, **options)
        return client, heard, cutter

    def subscription(self, client: Client, channel: str, **options: Any) -> tuple[Subscription, Listened]:
        heard = Listened(self)
        return client.new_subscription(channel, events=heard, **DELAYS, **options), heard

    async def subscribed(self, client: Client, channel: str, **options: Any) -> tuple[Subscription, Listened]:
        subscription, heard = self.subscription(client, channel, **options)
        await subscription.subscribe()
        await subscription.ready(PATIENCE)
        return subscription, heard

    async def refused(self, client: Client, channel: str, **options: Any) -> int:
        """Subscribes in vain; the code of the refusal."""
        subscription, heard = self.subscription(client, channel, **options)
        await subscription.subscribe()
        return (await heard.first("unsubscribed")).code

    async def away(
        self,
        client: Heard,
        cutter: Cutter,
        listened: list[Listened],
        meanwhile: Callable[[], Awaitable[Any]] | None = None,
    ) -> list[Any]:
        """Cuts, does `meanwhile`, and waits until the subscriptions are back."""
        times, back = len(client.all("connecting")), [len(one.all("subscribed")) for one in listened]
        await asyncio.to_thread(cutter.cut)
        await until(lambda: len(client.all("connecting")) > times, "the end of the connection")
        if meanwhile:
            await meanwhile()
        cutter.heal()
        for one, count in zip(listened, back, strict=True):
            await until(lambda one=one, count=count: len(one.all("subscribed")) > count, "a subscription again")
        return [one.all("subscribed")[-1] for one in listened]

    async def end(self) -> None:
        for client in self.clients:
            await client.disconnect()
        for cutter in self.cutters:
            cutter.__exit__()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(CONFIG) as server:
        yield server


@pytest.fixture(params=["json", "protobuf"])
def play(server: Server, request: pytest.FixtureRequest) -> Callable[[Callable[[Actor], Awaitable[None]]], None]:
    """Runs a scenario with an actor of each encoding."""

    def run(scenario: Callable[[Actor], Awaitable[None]]) -> None:
        async def go() -> None:
            actor = Actor(server, request.param)
            try:
                await scenario(actor)
            finally:
                await actor.end()

        asyncio.run(go())

    return run
