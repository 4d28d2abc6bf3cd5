"""The scenarios of tokens, presence, server-side subscriptions, history and codes with the unmodified Python SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from centrifuge import Client, ReplyError, StreamPosition
from players import Actor, own, play, server
from speakers import soon, token
from test_centrifuge_python import Heard, until

__all__ = ["play", "server"]


def getter(*answers: str | None) -> Any:
    """Gives the answers in turn, the last one again and again; `None` never comes."""
    calls: list[Any] = []

    async def ask(*context: Any) -> str:
        calls.append(context)
        answer = answers[min(len(calls), len(answers)) - 1]
        if answer is None:
            await asyncio.Event().wait()
        return str(answer)

    ask.calls = calls  # type: ignore[attr-defined]
    return ask


async def code_of(call: Awaitable[Any]) -> int:
    with pytest.raises(ReplyError) as error:
        await call
    return error.value.code


async def ended(client: Client, heard: Heard) -> int:
    await client.connect()
    return (await heard.first("disconnected")).code


def test_token_expired_109(play: Any) -> None:
    async def go(actor: Actor) -> None:
        ask = getter(token(exp=soon(600)))
        _, heard = await actor.connected(claims={"exp": soon(-10)}, get_token=ask)
        assert len(ask.calls) == 1
        assert not heard.all("disconnected")

    play(go)


def test_token_refreshed(play: Any) -> None:
    async def go(actor: Actor) -> None:
        ask = getter(token(exp=soon(600)))
        client, heard = await actor.connected(claims={"exp": soon(3)}, get_token=ask)
        await until(lambda: ask.calls, "a call of get_token")
        await client.publish(own("open"), actor.pack(1))
        assert len(heard.all("connected")) == 1

    play(go)


def test_token_not_refreshed_3005(play: Any) -> None:
    async def go(actor: Actor) -> None:
        ask = getter(None, token(exp=soon(600)))
        _, heard = await actor.connected(claims={"exp": soon(3)}, get_token=ask)
        await until(lambda: len(heard.all("connecting")) == 2, "the end of the connection")
        assert heard.all("connecting")[1].code == 3005
        await until(lambda: len(heard.all("connected")) == 2, "the next connection")

    play(go)


def test_token_of_someone_else_3500(play: Any) -> None:
    async def go(actor: Actor) -> None:
        _, heard = await actor.connected(claims={"exp": soon(3)}, get_token=getter(token("bob", exp=soon(600))))
        assert (await heard.first("disconnected")).code == 3500

    play(go)


def test_token_wrong_3500(play: Any) -> None:
    async def go(actor: Actor) -> None:
        assert await ended(*actor.client(token=token() + "x")) == 3500

    play(go)


def test_token_missing_3501(play: Any) -> None:
    async def go(actor: Actor) -> None:
        assert await ended(*actor.client(token="")) == 3501

    play(go)


def test_token_of_nobody_3507(play: Any) -> None:
    async def go(actor: Actor) -> None:
        assert await ended(*actor.client("")) == 3507

    play(go)


def test_subscription_token(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected(claims={"info": {"name": "Ann"}})
        for channel in (own("closed"), "$" + own("closed")):
            ticket = token(channel=channel, info={"seat": 7}, data={"welcome": True})
            _, listened = await actor.subscribed(client, channel, token=ticket)
            await actor.publish(channel, "for those inside")
            await until(lambda: listened.values() == ["for those inside"], "the publication")
            assert actor.read(listened.all("subscribed")[0].data) == {"welcome": True}
            (info,) = (await actor.api("presence", channel=channel))["presence"].values()
            assert (info["user"], info["conn_info"], info["chan_info"]) == ("ann", {"name": "Ann"}, {"seat": 7})

    play(go)


def test_subscription_token_missing_103(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        assert await actor.refused(client, own("closed")) == 103
        assert await actor.refused(client, "$" + own("open")) == 103

    play(go)


def test_subscription_token_wrong(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel = own("closed")
        client, _ = await actor.connected()
        assert await actor.refused(client, channel, token=token(channel=channel) + "x") == 103
        for wrong in (token(channel=own("closed")), token("bob", channel=channel)):
            other, heard = await actor.connected()
            subscription, _ = actor.subscription(other, channel, token=wrong)
            await subscription.subscribe()
            assert (await heard.first("disconnected")).code == 3500

    play(go)


def test_subscription_token_expired_109(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel = own("closed")
        client, _ = await actor.connected()
        ask = getter(token(channel=channel, exp=soon(600)))
        _, listened = await actor.subscribed(client, channel, token=token(channel=channel, exp=soon(-10)), get_token=ask)
        assert len(ask.calls) == 1
        assert not listened.all("unsubscribed")

    play(go)


def test_subscription_token_refreshed(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel, end = own("closed"), soon(7)
        client, _ = await actor.connected()
        ask = getter(token(channel=channel, exp=soon(3)), token(channel=channel, exp=soon(600)))
        _, listened = await actor.subscribed(client, channel, get_token=ask)
        await until(lambda: len(ask.calls) == 2, "the renewal")
        await until(lambda: soon(0) >= end, "the end of the first token and its grace")
        await actor.publish(channel, "still here")
        await until(lambda: listened.values() == ["still here"], "the publication")
        assert len(listened.all("subscribed")) == 1

    play(go)


def test_subscription_token_not_refreshed_2501(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel = own("closed")
        client, heard = await actor.connected()
        ask = getter(token(channel=channel, exp=soon(3)), None, token(channel=channel, exp=soon(600)))
        _, listened = await actor.subscribed(client, channel, get_token=ask)
        await until(lambda: len(listened.all("subscribing")) == 2, "the end of the subscription")
        assert listened.all("subscribing")[1].code == 2501
        await until(lambda: len(listened.all("subscribed")) == 2, "the next subscription")
        assert len(heard.all("connected")) == 1

    play(go)


def test_capabilities(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel = own("closed")
        caps = [
            {"channels": [channel], "allow": ["sub", "pub", "hst", "prs"]},
            {"channels": [channel + "-*"], "match": "wildcard", "allow": ["sub"]},
        ]
        client, _ = await actor.connected(claims={"caps": caps})
        subscription, listened = await actor.subscribed(client, channel)
        await subscription.publish(actor.pack("mine"))
        await until(lambda: listened.values() == ["mine"], "the publication")
        assert len((await subscription.history(limit=10)).publications) == 1
        assert (await subscription.presence_stats()).num_clients == 1
        reading, _ = await actor.subscribed(client, channel + "-2")
        assert await code_of(reading.publish(actor.pack(1))) == 103
        assert await code_of(reading.history(limit=1)) == 103
        assert await code_of(reading.presence()) == 103
        assert await actor.refused(client, own("closed")) == 103

    play(go)


def inside(heard: Heard, channel: str) -> list[Any]:
    return [context for context in heard.all("subscribed") if context.channel == channel]


def test_server_side_by_token(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channels = [own("closed"), own("closed")]
        _, heard = await actor.connected(claims={"channels": channels})
        await until(lambda: len(heard.all("subscribed")) == 2, "both subscriptions")
        for channel in channels:
            await actor.publish(channel, channel)
        await until(lambda: sorted(heard.values()) == sorted(channels), "both publications")

    play(go)


def test_server_side_recovers(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel = own("kept")
        _, heard, cutter = await actor.cuttable(claims={"channels": [channel]})
        await until(lambda: inside(heard, channel), "the subscription")
        await actor.publish(channel, 1)
        await until(lambda: heard.values() == [1], "the publication")

        async def meanwhile() -> None:
            for n in range(2, 10):
                await actor.publish(channel, n)

        (context,) = await actor.away(heard, cutter, [heard], meanwhile)
        assert (context.was_recovering, context.recovered) == (True, True)
        await actor.publish(channel, 10)
        await until(lambda: len(heard.values()) >= 10, "what was missed")
        assert heard.values() == list(range(1, 11))

    play(go)


def test_server_side_by_api(play: Any) -> None:
    async def go(actor: Actor) -> None:
        user, channel = own("u").replace(":", "-"), own("closed")
        _, one = await actor.connected(user)
        _, two = await actor.connected(user)
        await actor.api("subscribe", user=user, channel=channel, data={"by": "api"})
        for heard in (one, two):
            await until(lambda heard=heard: inside(heard, channel), "the subscription")
            assert actor.read(inside(heard, channel)[0].data) == {"by": "api"}
        await actor.publish(channel, 1)
        for heard in (one, two):
            await until(lambda heard=heard: heard.values() == [1], "the publication")
        await actor.api("unsubscribe", user=user, channel=channel)
        for heard in (one, two):
            await until(lambda heard=heard: heard.all("unsubscribed"), "the end of it")

    play(go)


def test_presence(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel = own("open")
        client, heard = await actor.connected(claims={"info": {"name": "Ann"}})
        subscription, _ = await actor.subscribed(client, channel)
        for user in ("ann", "bob"):
            await actor.subscribed((await actor.connected(user))[0], channel)
        clients = (await subscription.presence()).clients
        assert sorted(info.user for info in clients.values()) == ["ann", "ann", "bob"]
        assert actor.read(clients[heard.all("connected")[0].client].conn_info) == {"name": "Ann"}
        stats = await subscription.presence_stats()
        assert (stats.num_clients, stats.num_users) == (3, 2)

    play(go)


def test_join_and_leave(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel = own("open")
        _, asks = await actor.subscribed((await actor.connected())[0], channel, join_leave=True)
        _, silent = await actor.subscribed((await actor.connected())[0], channel)
        other, _ = await actor.connected("bob", claims={"info": {"name": "Bob"}})
        theirs, _ = await actor.subscribed(other, channel)

        def of(name: str) -> list[Any]:
            return [context.info for context in asks.all(name) if context.info.user == "bob"]

        await until(lambda: len(of("join")) == 1, "bob's join")
        assert actor.read(of("join")[0].conn_info) == {"name": "Bob"}
        await theirs.unsubscribe()
        await until(lambda: len(of("leave")) == 1, "bob's leave")
        assert silent.all("join") + silent.all("leave") == []

    play(go)


def test_history_pages(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        subscription, _ = await actor.subscribed(client, own("open"))
        for n in range(1, 26):
            await actor.publish(subscription.channel, n)
        top = await subscription.history(limit=0)
        assert (top.publications, top.offset) == ([], 25)
        for reverse, start in ((False, 0), (True, 26)):
            seen: list[int] = []
            since = StreamPosition(start, top.epoch)
            while page := (await subscription.history(limit=7, since=since, reverse=reverse)).publications:
                seen += [actor.read(pub.data) for pub in page]
                since = StreamPosition(page[-1].offset, top.epoch)
            assert seen == (list(range(25, 0, -1)) if reverse else list(range(1, 26)))

    play(go)


def test_history_refused(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        assert await code_of(client.history(own("closed"), limit=1)) == 103
        assert await code_of(client.history(own("plain"), limit=1)) == 108
        assert await code_of(client.history("nowhere:1", limit=1)) == 102
        subscription, _ = await actor.subscribed(client, own("open"))
        assert await code_of(subscription.history(limit=1, since=StreamPosition(1, "gone"))) == 112

    play(go)


def test_error_codes(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard = await actor.connected()
        assert await code_of(client.publish("nowhere:1", actor.pack(1))) == 102
        assert await code_of(client.publish(own("closed"), actor.pack(1))) == 103
        assert await code_of(client.rpc("anything", actor.pack(1))) == 108
        assert await actor.refused(client, "nowhere:1") == 102
        assert await actor.refused(client, own("closed")) == 103
        assert await actor.refused(client, "open:" + "x" * 255) == 107
        assert not heard.all("disconnected")

    play(go)


def test_channel_limit_106(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        for _ in range(8):
            await actor.subscribed(client, own("open"))
        assert await actor.refused(client, own("open")) == 106

    play(go)


def test_unsubscribed_by_api_2000(play: Any) -> None:
    async def go(actor: Actor) -> None:
        user, channel = own("u").replace(":", "-"), own("open")
        client, _ = await actor.connected(user)
        _, listened = await actor.subscribed(client, channel)
        await actor.api("unsubscribe", user=user, channel=channel)
        assert (await listened.first("unsubscribed")).code == 2000

    play(go)


def test_disconnected_by_api(play: Any) -> None:
    async def go(actor: Actor) -> None:
        user = own("u").replace(":", "-")
        _, one = await actor.connected(user)
        _, two = await actor.connected(user)
        await actor.api("disconnect", user=user, whitelist=[two.all("connected")[0].client])
        assert (await one.first("disconnected")).code == 3503
        await actor.api("disconnect", user=user, disconnect={"code": 4501, "reason": "go away"})
        end = await two.first("disconnected")
        assert (end.code, end.reason) == (4501, "go away")

    play(go)


def test_disconnected_by_api_comes_back(play: Any) -> None:
    async def go(actor: Actor) -> None:
        user = own("u").replace(":", "-")
        client, heard = await actor.connected(user)
        _, listened = await actor.subscribed(client, own("kept"))
        await actor.api("disconnect", user=user, disconnect={"code": 4000, "reason": "come again"})
        await until(lambda: len(listened.all("subscribed")) == 2, "the subscription again")
        assert listened.all("subscribed")[1].recovered
        assert (heard.all("connecting")[1].code, heard.all("connecting")[1].reason) == (4000, "come again")

    play(go)


def test_expired_by_api_3005(play: Any) -> None:
    async def go(actor: Actor) -> None:
        user = own("u").replace(":", "-")
        _, heard = await actor.connected(user, get_token=getter(token(user)))
        await actor.api("refresh", user=user, expired=True)
        await until(lambda: len(heard.all("connecting")) == 2, "the end of the connection")
        assert heard.all("connecting")[1].code == 3005
        await until(lambda: len(heard.all("connected")) == 2, "the next connection")

    play(go)
