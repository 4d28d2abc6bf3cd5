"""The scenarios of recovery, deltas and filters with the unmodified Python SDK."""

from __future__ import annotations

import asyncio
from typing import Any

from centrifuge import DeltaType, Filter, StreamPosition
from players import Actor, own, play, server
from test_centrifuge_python import until

__all__ = ["play", "server"]


def test_recover_missed(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard, cutter = await actor.cuttable()
        subscription, listened = await actor.subscribed(client, own("kept"))
        for n in range(1, 4):
            await actor.publish(subscription.channel, {"n": n})
        await until(lambda: len(listened.values()) == 3, "what came before the cut")

        async def meanwhile() -> None:
            for n in range(4, 24):
                await actor.publish(subscription.channel, {"n": n})

        (context,) = await actor.away(heard, cutter, [listened], meanwhile)
        assert (context.was_recovering, context.recovered, context.recoverable) == (True, True, True)
        await actor.publish(subscription.channel, {"n": 24})
        await until(lambda: len(listened.values()) >= 24, "what was missed")
        assert listened.values() == [{"n": n} for n in range(1, 25)]
        assert listened.offsets() == list(range(1, 25))

    play(go)


def test_recover_again_and_again(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard, cutter = await actor.cuttable()
        channels = [own("kept") for _ in range(4)]
        listened = [(await actor.subscribed(client, channel))[1] for channel in channels]
        for start in range(0, 35, 7):

            async def meanwhile(start: int = start) -> None:
                for n in range(start + 1, start + 8):
                    await actor.api("broadcast", channels=channels, data=n)

            assert all(context.recovered for context in await actor.away(heard, cutter, listened, meanwhile))
        for one in listened:
            await until(lambda one=one: len(one.values()) >= 35, "all of a channel")
            assert one.values() == list(range(1, 36))

    play(go)


def test_recover_too_much_missed(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard, cutter = await actor.cuttable()
        subscription, listened = await actor.subscribed(client, own("brief"))

        async def meanwhile() -> None:
            for n in range(1, 21):
                await actor.publish(subscription.channel, n)

        (context,) = await actor.away(heard, cutter, [listened], meanwhile)
        assert (context.was_recovering, context.recovered) == (True, False)
        assert context.stream_position.offset == 20
        await actor.publish(subscription.channel, 21)
        await until(lambda: listened.values(), "the next publication")
        assert listened.values() == [21]

    play(go)


def test_recover_asked_for(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard, cutter = await actor.cuttable()
        _, asks = await actor.subscribed(client, own("open"), recoverable=True)
        _, positioned = await actor.subscribed(client, own("open"), positioned=True)
        _, neither = await actor.subscribed(client, own("open"))
        _, refused = await actor.subscribed(client, own("plain"), recoverable=True, positioned=True)
        flags = [(one.all("subscribed")[0].recoverable, one.all("subscribed")[0].positioned) for one in (asks, positioned, neither, refused)]
        assert flags == [(True, True), (False, True), (False, False), (False, False)]
        context, other = await actor.away(heard, cutter, [asks, neither])
        assert (context.recovered, other.was_recovering) == (True, False)

    play(go)


def test_recover_or_112(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard, cutter = await actor.cuttable()
        channel, asked = own("brief"), []
        for n in range(1, 4):
            await actor.publish(channel, n)

        async def get_state(_: str) -> StreamPosition:
            asked.append(1)
            top = await actor.api("history", channel=channel, limit=0)
            return StreamPosition(top["offset"], top["epoch"])

        _, listened = await actor.subscribed(client, channel, get_state=get_state)
        assert len(asked) == 1
        await actor.away(heard, cutter, [listened], lambda: actor.publish(channel, 4))
        await until(lambda: listened.values() == [4], "what was missed")

        async def meanwhile() -> None:
            for n in range(5, 25):
                await actor.publish(channel, n)

        (context,) = await actor.away(heard, cutter, [listened], meanwhile)
        assert len(asked) == 2
        assert context.recovered
        assert listened.values() == [4]

    play(go)


def test_recover_newest(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard, cutter = await actor.cuttable()
        subscription, listened = await actor.subscribed(client, own("cache"))
        await actor.publish(subscription.channel, 1)
        await until(lambda: listened.values() == [1], "the publication")

        async def meanwhile() -> None:
            for n in range(2, 10):
                await actor.publish(subscription.channel, n)

        (context,) = await actor.away(heard, cutter, [listened], meanwhile)
        assert (context.was_recovering, context.recovered) == (True, True)
        await until(lambda: len(listened.values()) == 2, "the newest")
        (again,) = await actor.away(heard, cutter, [listened])
        assert again.recovered
        await actor.publish(subscription.channel, 10)
        await until(lambda: len(listened.values()) >= 3, "the next one")
        assert listened.values() == [1, 9, 10]

    play(go)


def test_newest_first(play: Any) -> None:
    async def go(actor: Actor) -> None:
        channel = own("greeting")
        for n in range(1, 6):
            await actor.publish(channel, n)
        client, _ = await actor.connected()
        _, listened = await actor.subscribed(client, channel)
        await until(lambda: listened.values(), "the newest value at once")
        await actor.publish(channel, 6)
        await until(lambda: len(listened.values()) >= 2, "the next one")
        assert listened.values() == [5, 6]

    play(go)


def version(n: int) -> dict[str, Any]:
    """A document of which every version changes a little."""
    readings = [{"place": place, "name": f"sensor {place}", "value": n if place == n % 30 else 0} for place in range(30)]
    return {"title": "Messwerte der Anlage – größer, 日本語 😀", "readings": readings, "note": "éè😀ß"[n % 4], "n": n}


def test_delta_live(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        subscription, listened = await actor.subscribed(client, own("delta"), delta=DeltaType.FOSSIL)
        other, _ = await actor.connected("bob")
        _, plain = await actor.subscribed(other, subscription.channel)
        for n in range(1, 21):
            await actor.publish(subscription.channel, version(n))
        for one in (listened, plain):
            await until(lambda one=one: len(one.values()) >= 20, "all versions")
            assert one.values() == [version(n) for n in range(1, 21)]
        assert [context.pub.delta for context in listened.all("publication")] == [False] + [True] * 19

    play(go)


def test_delta_recovered(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard, cutter = await actor.cuttable()
        subscription, listened = await actor.subscribed(client, own("delta"), delta=DeltaType.FOSSIL)
        for n in range(1, 4):
            await actor.publish(subscription.channel, version(n))
        await until(lambda: len(listened.values()) == 3, "what came before the cut")

        async def meanwhile() -> None:
            for n in range(4, 14):
                await actor.publish(subscription.channel, version(n))

        (context,) = await actor.away(heard, cutter, [listened], meanwhile)
        assert context.recovered
        for n in range(14, 17):
            await actor.publish(subscription.channel, version(n))
        await until(lambda: len(listened.values()) >= 16, "what was missed and what came after it")
        assert listened.values() == [version(n) for n in range(1, 17)]

    play(go)


def test_delta_history(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        subscription, _ = await actor.subscribed(client, own("delta"), delta=DeltaType.FOSSIL)
        for n in range(1, 5):
            await actor.publish(subscription.channel, version(n))
        history = await subscription.history(limit=10)
        assert [actor.read(pub.data) for pub in history.publications] == [version(n) for n in range(1, 5)]

    play(go)


def test_delta_not_allowed(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        subscription, listened = await actor.subscribed(client, own("kept"), delta=DeltaType.FOSSIL)
        for n in range(1, 4):
            await actor.publish(subscription.channel, version(n))
        await until(lambda: len(listened.values()) >= 3, "all versions")
        assert listened.values() == [version(n) for n in range(1, 4)]

    play(go)


FILTERS = [
    (Filter.eq("ticker", "BTC"), [0]),
    (Filter.neq("market", "spot"), [2, 3, 4, 5]),
    (Filter.is_in("ticker", ["ETH", "SOL"]), [1, 3]),
    (Filter.not_in("ticker", ["ETH", "SOL"]), [0, 2, 4, 5]),
    (Filter.exists("market"), [0, 1, 2]),
    (Filter.not_exists("market"), [3, 4, 5]),
    (Filter.starts_with("ticker", "BTC"), [0, 2]),
    (Filter.ends_with("ticker", "PERP"), [2]),
    (Filter.contains("ticker", "O"), [3, 4]),
    (Filter.lt("price", "9.5"), [0, 3]),
    (Filter.lte("price", "10.0"), [0, 1, 3]),
    (Filter.gt("price", "9"), [1, 2]),
    (Filter.gte("price", "9"), [0, 1, 2]),
    (Filter.all(Filter.eq("market", "spot"), Filter.gt("price", "9")), [1]),
    (Filter.any(Filter.eq("ticker", "SOL"), Filter.eq("market", "future")), [2, 3]),
    (Filter.negate(Filter.exists("market")), [3, 4, 5]),
]
TAGS: list[dict[str, str] | None] = [
    {"ticker": "BTC", "price": "9", "market": "spot"},
    {"ticker": "ETH", "price": "10", "market": "spot"},
    {"ticker": "BTC-PERP", "price": "10.5", "market": "future"},
    {"ticker": "SOL", "price": "-3"},
    {"ticker": "DOGE", "price": "much"},
    None,
]


def test_filter_every_comparison(play: Any) -> None:
    async def go(actor: Actor) -> None:
        every = []
        for at in range(0, len(FILTERS), 8):
            client, _ = await actor.connected()
            for tags_filter, _ in FILTERS[at : at + 8]:
                every.append(await actor.subscribed(client, own("tagged"), tags_filter=tags_filter))
        channels = [subscription.channel for subscription, _ in every]
        for place, tags in enumerate(TAGS):
            await actor.api("broadcast", channels=channels, data=place, **({"tags": tags} if tags else {}))
        for (_, listened), (_, places) in zip(every, FILTERS, strict=True):
            await until(lambda listened=listened, places=places: places[-1] in listened.values(), f"{places}")
        assert [listened.values() for _, listened in every] == [places for _, places in FILTERS]

    play(go)


def test_filter_recovers(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, heard, cutter = await actor.cuttable()
        subscription, listened = await actor.subscribed(client, own("tagged"), tags_filter=Filter.eq("even", "yes"))

        async def publish(*numbers: int) -> None:
            for n in numbers:
                await actor.publish(subscription.channel, n, tags={"even": "no" if n % 2 else "yes"})

        await publish(*range(1, 6))
        (context,) = await actor.away(heard, cutter, [listened], lambda: publish(*range(6, 14)))
        assert (context.was_recovering, context.recovered) == (True, True)
        await publish(*range(14, 18))
        await until(lambda: 16 in listened.values(), "the last even one")
        assert listened.values() == [2, 4, 6, 8, 10, 12, 14, 16]

    play(go)


def test_filter_not_allowed_107(play: Any) -> None:
    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        assert await actor.refused(client, own("kept"), tags_filter=Filter.eq("of", "a")) == 107
        assert await actor.refused(client, own("tagged"), tags_filter=Filter.all()) == 107

    play(go)


def test_restart_is_told(play: Any) -> None:
    """The last one: the server of the others is gone meanwhile."""

    async def go(actor: Actor) -> None:
        client, _ = await actor.connected()
        subscription, listened = await actor.subscribed(client, own("kept"))
        await actor.publish(subscription.channel, "before")
        await until(lambda: listened.values() == ["before"], "the publication")
        await asyncio.to_thread(actor.server.stop)
        await asyncio.to_thread(actor.server.start)
        await until(lambda: len(listened.all("subscribed")) == 2, "the subscription again")
        context = listened.all("subscribed")[1]
        assert (context.was_recovering, context.recovered) == (True, False)
        await actor.publish(subscription.channel, "after")
        await until(lambda: len(listened.values()) >= 2, "a publication after the restart")
        assert (listened.values(), listened.offsets()) == (["before", "after"], [1, 1])

    play(go)
