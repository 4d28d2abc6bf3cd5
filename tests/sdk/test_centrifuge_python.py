"""The unmodified Python SDK, `centrifuge-python`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from answerer import Answerer
from centrifuge import (
    Client,
    ClientEventHandler,
    ClientState,
    ReplyError,
    StreamPosition,
    Subscription,
    SubscriptionEventHandler,
)
from serving import PATIENCE, Server
from speakers import BASE, soon, token, unique

CONFIG = BASE.replace(
    'name = "open"\n', 'name = "open"\njoin_leave = true\nforce_push_join_leave = true\n'
) + """
[rpc]
without_namespace.proxy_enabled = true

[app_link]
driver = "embedded"
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def answerer(server: Server) -> Iterator[Answerer]:
    with Answerer(server.embedded) as answerer:
        yield answerer


class Heard(ClientEventHandler, SubscriptionEventHandler):
    """Notes everything that happens, as (name, context)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        async def note(context: Any) -> None:
            self.events.append((name[3:], context))

        return note

    def all(self, name: str) -> list[Any]:
        return [context for what, context in self.events if what == name]

    async def first(self, name: str) -> Any:
        await until(lambda: self.all(name), name)
        return self.all(name)[0]


async def until(condition: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


@asynccontextmanager
async def connected(server: Server, user: str = "ann", **options: Any) -> AsyncIterator[tuple[Client, Heard]]:
    heard = Heard()
    made = options.pop("token", None) or token(user, info={"name": user})
    client = Client(server.url, events=heard, token=made, proxy=None, max_reconnect_delay=0.2, **options)
    await client.connect()
    try:
        await client.ready(10)
        yield client, heard
    finally:
        await client.disconnect()


async def subscribed(client: Client, channel: str) -> tuple[Subscription, Heard]:
    heard = Heard()
    subscription = client.new_subscription(channel, events=heard)
    await subscription.subscribe()
    await subscription.ready(10)
    return subscription, heard


def run(test: Callable[..., Awaitable[None]], *with_: Any) -> None:
    asyncio.run(test(*with_))  # type: ignore[arg-type]


def test_connect_subscribe_publish_and_hear_oneself(server: Server) -> None:
    async def go() -> None:
        async with connected(server) as (client, heard):
            assert (await heard.first("connected")).client
            subscription, listened = await subscribed(client, unique("open:py-"))
            await subscription.publish({"text": "grüß dich 😀\n"})
            pub = (await listened.first("publication")).pub
            assert (pub.data, pub.offset, pub.info.user) == ({"text": "grüß dich 😀\n"}, 1, "ann")
            assert pub.info.conn_info == {"name": "ann"}
        assert (await heard.first("disconnected")).code == 0

    run(go)


def test_order_presence_joins_and_leaves(server: Server) -> None:
    async def go() -> None:
        channel = unique("open:py-")
        async with connected(server) as (client, _):
            subscription, listened = await subscribed(client, channel)
            async with connected(server, "bob") as (other, _):
                await subscribed(other, channel)
                for n in range(100):
                    await other.publish(channel, n)
                await until(lambda: len(listened.all("publication")) == 100, "100 publications")
                assert [context.pub.data for context in listened.all("publication")] == list(range(100))
                members = (await subscription.presence()).clients
                assert sorted(member.user for member in members.values()) == ["ann", "bob"]
                stats = await subscription.presence_stats()
                assert (stats.num_clients, stats.num_users) == (2, 2)
                await until(lambda: "bob" in [context.info.user for context in listened.all("join")], "bob's join")
            await until(lambda: "bob" in [context.info.user for context in listened.all("leave")], "bob's leave")
            stats = await subscription.presence_stats()
            assert (stats.num_clients, stats.num_users) == (1, 1)

    run(go)


def test_history(server: Server) -> None:
    async def go() -> None:
        async with connected(server) as (client, _):
            subscription, _ = await subscribed(client, unique("open:py-"))
            for n in range(1, 11):
                await subscription.publish(n)
            every = await subscription.history(limit=-1)
            assert [pub.data for pub in every.publications] == list(range(1, 11))
            some = await subscription.history(limit=3, since=StreamPosition(4, every.epoch))
            assert [pub.data for pub in some.publications] == [5, 6, 7]
            back = await subscription.history(limit=2, reverse=True)
            assert [pub.data for pub in back.publications] == [10, 9]
            with pytest.raises(ReplyError) as error:
                await subscription.history(limit=1, since=StreamPosition(1, "gone"))
            assert error.value.code == 112

    run(go)


@pytest.mark.usefixtures("answerer")
def test_rpc(server: Server) -> None:
    async def go() -> None:
        async with connected(server) as (client, _):
            answers = await asyncio.gather(*(client.rpc("echo", {"n": n, "text": "é"}) for n in range(20)))
            assert [answer.data["n"] for answer in answers] == list(range(20))
            with pytest.raises(ReplyError) as error:
                await client.rpc("fail", {})
            assert (error.value.code, error.value.message) == (444, "as asked")

    run(go)


def test_errors_have_their_codes(server: Server) -> None:
    async def go() -> None:
        async with connected(server) as (client, _):
            for call, code in (
                (client.publish("nowhere:1", 1), 102),
                (client.publish("closed:1", 1), 103),
                (client.presence("closed:1"), 103),
                (client.presence("plain:1"), 108),
            ):
                with pytest.raises(ReplyError) as error:
                    await call
                assert error.value.code == code
            heard = Heard()
            await client.new_subscription("closed:1", events=heard).subscribe()
            assert (await heard.first("unsubscribed")).code == 103
            assert client.state == ClientState.CONNECTED

    run(go)


def test_a_bad_token_ends_it_for_good(server: Server) -> None:
    async def go() -> None:
        heard = Heard()
        client = Client(server.url, events=heard, token=token() + "x", proxy=None)
        await client.connect()
        end = await heard.first("disconnected")
        assert end.code == 3500 and "signature" in end.reason
        assert client.state == ClientState.DISCONNECTED

    run(go)


def test_an_expired_token_asks_for_another(server: Server) -> None:
    async def go() -> None:
        asked = []

        async def get_token() -> str:
            asked.append(1)
            return token(exp=soon(600))

        async with connected(server, token=token(exp=soon(-10)), get_token=get_token):
            assert len(asked) == 1

    run(go)


def test_a_token_that_runs_out_is_refreshed_without_a_new_connection(server: Server) -> None:
    async def go() -> None:
        asked = []

        async def get_token() -> str:
            asked.append(1)
            return token(exp=soon(600))

        async with connected(server, token=token(exp=soon(2)), get_token=get_token) as (client, heard):
            await until(lambda: asked, "a call of get_token")
            await client.publish("open:py-refresh", 1)
            assert len(heard.all("connected")) == 1

    run(go)


def test_unsubscribe_and_subscribe_again(server: Server) -> None:
    async def go() -> None:
        channel = unique("open:py-")
        async with connected(server) as (client, _):
            subscription, heard = await subscribed(client, channel)
            await subscription.unsubscribe()
            assert (await heard.first("unsubscribed")).code == 0
            await client.publish(channel, "unheard")
            await subscription.subscribe()
            await subscription.ready(10)
            await client.publish(channel, "heard")
            assert (await heard.first("publication")).pub.data == "heard"

    run(go)


def test_a_restart_of_the_server() -> None:
    async def go(server: Server) -> None:
        channel = unique("open:py-")
        async with connected(server) as (client, heard):
            subscription, listened = await subscribed(client, channel)
            server.signal(signal.SIGTERM)
            await until(lambda: len(heard.all("connecting")) == 2, "the end of the connection")
            assert heard.all("connecting")[1].code == 3001
            assert server.process and await asyncio.to_thread(server.process.wait, 20) == 0
            await asyncio.to_thread(server.start)
            await until(lambda: len(listened.all("subscribed")) == 2, "a second subscription")
            await subscription.publish("after")
            assert (await listened.first("publication")).pub.data == "after"

    with Server(CONFIG) as server:
        run(go, server)
