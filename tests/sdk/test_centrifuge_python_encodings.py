"""The unmodified Python SDK in JSON and in Protobuf: the same walk, and recovery after its socket was cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from answerer import Answerer
from centrifuge import Client, ReplyError
from cutter import Cutter
from serving import Server
from speakers import token, unique
from test_centrifuge_python import CONFIG, Heard, run, subscribed, until

MORE = """
[websocket]
compression = true

[[channel.namespaces]]
name = "kept"
history_size = 400
history_ttl = "5m"
force_recovery = true
allow_subscribe_for_client = true
allow_publish_for_client = true
"""

pytestmark = pytest.mark.parametrize("encoding", ["json", "protobuf"])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(CONFIG + MORE) as server, Answerer(server.embedded):
        yield server


def pack(encoding: str, value: Any) -> Any:
    """What the application hands over: any value in JSON, bytes in Protobuf."""
    return json.dumps(value).encode() if encoding == "protobuf" else value


def unpack(encoding: str, data: Any) -> Any:
    return json.loads(data) if encoding == "protobuf" else data


@asynccontextmanager
async def connected(port: int, encoding: str, user: str = "ann") -> AsyncIterator[tuple[Client, Heard]]:
    heard = Heard()
    client = Client(
        f"ws://127.0.0.1:{port}/connection/websocket",
        events=heard,
        token=token(user, info={"name": user}),
        use_protobuf=encoding == "protobuf",
        min_reconnect_delay=0.02,
        max_reconnect_delay=0.1,
        proxy=None,
    )
    await client.connect()
    try:
        await client.ready(10)
        yield client, heard
    finally:
        await client.disconnect()


def test_the_walk(server: Server, encoding: str) -> None:
    async def go() -> None:
        async with connected(server.port, encoding) as (client, heard):
            channel = unique("open:py-")
            subscription, listened = await subscribed(client, channel)
            values = [{"text": "grüß dich 😀\n"}, 3, None, [1, "zwei"], {"long": "x" * 30_000}]
            for value in values:
                await subscription.publish(pack(encoding, value))
            await until(lambda: len(listened.all("publication")) == len(values), "the publications")
            pubs = [context.pub for context in listened.all("publication")]
            assert [unpack(encoding, pub.data) for pub in pubs] == values
            assert [pub.offset for pub in pubs] == [1, 2, 3, 4, 5]
            assert (pubs[0].info.user, unpack(encoding, pubs[0].info.conn_info)) == ("ann", {"name": "ann"})
            history = await subscription.history(limit=2, reverse=True)
            assert [unpack(encoding, pub.data) for pub in history.publications] == [values[4], values[3]]
            assert [member.user for member in (await subscription.presence()).clients.values()] == ["ann"]
            stats = await subscription.presence_stats()
            assert (stats.num_clients, stats.num_users) == (1, 1)
            answers = await asyncio.gather(*(client.rpc("echo", pack(encoding, n)) for n in range(20)))
            assert [unpack(encoding, answer.data) for answer in answers] == list(range(20))
            with pytest.raises(ReplyError) as error:
                await client.rpc("fail", pack(encoding, {}))
            assert (error.value.code, error.value.message) == (444, "as asked")
            with pytest.raises(ReplyError) as error:
                await client.publish("nowhere:1", pack(encoding, 1))
            assert error.value.code == 102
            await subscription.unsubscribe()
            assert (await listened.first("unsubscribed")).code == 0
        assert (await heard.first("disconnected")).code == 0

    run(go)


def test_joins_and_leaves(server: Server, encoding: str) -> None:
    async def go() -> None:
        channel = unique("open:py-")
        async with connected(server.port, encoding) as (client, _):
            _, listened = await subscribed(client, channel)
            async with connected(server.port, "json", "bob") as (other, _):
                await subscribed(other, channel)
                await until(lambda: "bob" in [context.info.user for context in listened.all("join")], "bob's join")
            await until(lambda: "bob" in [context.info.user for context in listened.all("leave")], "bob's leave")

    run(go)


def test_recovers_what_was_published_while_its_socket_was_cut(server: Server, encoding: str) -> None:
    async def go() -> None:
        channel = unique("kept:py-")
        with Cutter(server.port) as cutter:
            async with (
                connected(cutter.port, encoding) as (client, heard),
                connected(server.port, "json") as (other, _),
            ):
                _, listened = await subscribed(client, channel)
                for n in range(5):
                    await other.publish(channel, n)
                await until(lambda: len(listened.all("publication")) == 5, "what came before the cut")
                assert cutter.cut() == 1
                await until(lambda: len(heard.all("connecting")) == 2, "the end of the connection")
                for n in range(5, 40):
                    await other.publish(channel, n)
                assert len(listened.all("publication")) == 5
                cutter.heal()
                await until(lambda: len(listened.all("subscribed")) == 2, "a second subscription")
                back = listened.all("subscribed")[1]
                assert (back.recoverable, back.was_recovering, back.recovered) == (True, True, True)
                await other.publish(channel, 40)
                await until(lambda: len(listened.all("publication")) >= 41, "all publications")
                pubs = [context.pub for context in listened.all("publication")]
                assert [unpack(encoding, pub.data) for pub in pubs] == list(range(41))
                assert [pub.offset for pub in pubs] == list(range(1, 42))

    run(go)
