"""The scenarios of recovery with the unmodified Python SDK."""

from __future__ import annotations

import asyncio
from typing import Any

from centrifuge import StreamPosition
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
