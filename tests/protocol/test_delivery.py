"""Readers on thin lines beside fast ones: what they get, what they cost, and what the fast ones notice of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from crowds import OPEN, Api, Crowd, Guest, figures, metric, percentile, resident
from serving import Server

__all__ = ["figures"]

# Half an hour of the same instead of half a minute: JACKFIELD_DELIVERY_ROUNDS=20.
ROUNDS = int(os.environ.get("JACKFIELD_DELIVERY_ROUNDS", "2"))
LIMIT, MOST_ROUNDS = 64 * 1024, 6
READERS, SLOW, KEYS, RATE = 500, 25, 1000, 500
LINE = 64_000 // 8
LOWAT = 16_384  # The default of sockets.notsent_lowat.
# What the system holds for a reader on its way: what is not sent yet, what the reader's own side has, a segment or two.
ON_THE_WAY = 3 * LOWAT
CHANNEL = "board:1"

CONFIG = (
    OPEN
    + """
ping_interval = "20s"
pong_timeout = "15s"
recovery_max_publication_limit = 100000
# So short that it would end whoever the system held for dead because its window is small.
[sockets]
user_timeout = "2s"
[[channel.namespaces]]
name = "board"
delivery = "latest"
snapshot = true
presence = true
[[channel.namespaces]]
name = "ring"
delivery = "drop_oldest"
presence = true
[[channel.namespaces]]
name = "pulse"
delivery = "sampled:5"
snapshot = true
[[channel.namespaces]]
name = "full"
delivery = "all"
presence = true
history_size = 100000
history_ttl = "5m"
force_recovery = true
"""
)


class Feed:
    """Publishes into a channel at a rate, key after key; `newest` is what each key was told last."""

    def __init__(self, crowd: Crowd, server: Server, channel: str, keys: int, rate: float, size: int = 100):
        self.api, self.channel, self.keys, self.size = Api(crowd, server), channel, keys, size
        self.rate, self.since, self.sent, self.count, self.answered = rate, 0.0, 0, 0, 0
        self.newest: dict[str, int] = {}
        self.is_on = False
        crowd.chores.append(self.go_on)

    def start(self) -> None:
        self.since, self.sent, self.is_on = time.monotonic(), 0, True

    def stop(self) -> None:
        self.is_on = False

    def go_on(self, now: float) -> None:
        """Sends what is due by now, if the server has answered for what was before."""
        if self.is_on and self.answered == self.count:
            due = min(int((now - self.since) * self.rate) - self.sent, 1000)
            if due > 0:
                self.publish(due, self.since + self.sent / self.rate)
                self.sent += due

    def publish(self, count: int, due: float | None = None) -> None:
        commands = []
        for _ in range(count):
            self.count += 1
            key = f"key-{self.count * 7 % self.keys}"
            # A stamp of when it was due, and a number for who counts.
            text = f"#{due or time.monotonic():.6f}#{self.count}#"
            self.newest[key] = self.count
            body = {"channel": self.channel, "data": text.ljust(self.size, "."), "key": key}
            commands.append({"publish": body})

        def answered(answer: dict[str, Any]) -> None:
            assert all("publish" in reply for reply in answer["replies"]), answer
            self.answered += len(answer["replies"])

        self.api.ask("batch", {"commands": commands}, answered)

    @staticmethod
    def number(publication: dict[str, Any]) -> int:
        return int(publication["data"].split("#", 3)[2])


class Board:
    """What one reader knows: the newest of each key."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.publications = 0
        self.replies: dict[int, dict[str, Any]] = {}
        self.members = 0

    def hear(self, _: Guest, message: dict[str, Any]) -> None:
        if "push" in message:
            push = message["push"]
            if "pub" in push:
                self.take(push["pub"])
            return
        assert "error" not in message, message
        self.replies[message["id"]] = message
        for publication in message.get("subscribe", {}).get("publications", ()):
            self.take(publication)

    def take(self, publication: dict[str, Any]) -> None:
        number, key = Feed.number(publication), publication["key"]
        assert number > self.values.get(key, 0), f"{key}: {number} came after {self.values[key]}"
        self.values[key] = number
        self.publications += 1


class Watch:
    """Lateness of what fast readers get: of each read, the first publication that is whole in it."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.bytes = 0

    def glance(self, _: Guest, data: bytes) -> None:
        self.bytes += len(data)
        stamp = data.find(b'"#')
        end = data.find(b"#", stamp + 2)
        if stamp >= 0 and end > 0:
            self.late.append(time.monotonic() - float(data[stamp + 2 : end]))


def entered(crowd: Crowd, server: Server, channel: str, *, narrow: bool = False, **wish: Any) -> Guest:
    """A guest in a channel, with a board of its own."""
    board = Board()
    guest = Guest(crowd, server, board.hear, [{"subscribe": {"channel": channel, **wish}}], narrow=narrow)
    guest.about = board
    return guest


def is_in(guest: Guest) -> bool:
    return 2 in guest.about.replies


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # One worker, so that slow readers and fast ones share it.
    with Server(CONFIG, workers=1) as server:
        yield server


def test_slow_readers_of_latest_get_the_newest_of_every_key_and_cost_nobody_anything(
    server: Server, figures: Callable[[str], None]
) -> None:
    with Crowd() as crowd:
        feed = Feed(crowd, server, CHANNEL, KEYS, RATE)
        feed.publish(KEYS)
        crowd.until(lambda: feed.answered == KEYS, "the first value of each key")
        slow = [entered(crowd, server, CHANNEL, narrow=True) for _ in range(SLOW)]
        silent = entered(crowd, server, CHANNEL, narrow=True)
        everybody = [*slow, silent]
        while len(everybody) <= READERS:
            # A few at a time, so that what all these snapshots take is given back before memory is looked at.
            crowd.until(lambda: all(map(is_in, everybody)), "all are in")
            everybody.append(entered(crowd, server, CHANNEL))
        fast = everybody[SLOW + 1 :]
        crowd.until(lambda: all(map(is_in, everybody)), "all are in")
        assert all(guest.about.values == feed.newest for guest in everybody), "a subscription begins with every key"
        watch = Watch()
        for guest in fast:
            guest.glance = watch.glance

        def phase(seconds: float, rate: int | None) -> tuple[float, list[int]]:
            """The fast readers' 99th percentile, and the memory of the server."""
            for guest in slow:
                guest.throttle(rate)
                # Nor shall the fast ones notice how long this process takes to read JSON.
                guest.is_lazy = rate is None
                guest.unpack()
            watch.late, memory, end = [], [], time.monotonic() + seconds
            while time.monotonic() < end:
                crowd.during(0.2)
                memory.append(resident(server))
            return percentile(watch.late, 0.99), memory

        conflated = metric(server, "jackfield_delivery_conflated", "board")
        feed.start()
        phase(2, None)
        without, with_them = [], []

        def grown() -> float:
            """Bytes per slow reader: the middle of what each round differs by, from before them. The whole process grows in its
            first rounds, one frame that came late pins others for a moment, and the allocator gives pages back when it likes."""
            more = (statistics.median(it) - statistics.median(before) for (_, it), (_, before) in zip(with_them, without, strict=True))
            return statistics.median(more) / (SLOW + 1)

        # What slow readers hold they hold in every round; what a busy machine holds up is not there in all of them.
        while len(without) < ROUNDS or (grown() >= LIMIT and len(without) < MOST_ROUNDS):
            without.append(phase(2.5, None))
            silent.throttle(0)
            with_them.append(phase(4.5, LINE))
        stalest = metric(server, "jackfield_delivery_stalest_seconds", "board")
        assert metric(server, "jackfield_backlog_connections") >= SLOW
        assert metric(server, "jackfield_delivery_conflated", "board") > conflated and stalest > 0
        assert all(guest.is_open for guest in slow), [guest.end for guest in slow]

        # Before its backlog has drained a slow reader gets answers: they overtake what may wait.
        behind = [key for key, number in feed.newest.items() if slow[0].about.values[key] != number]
        assert len(behind) > KEYS // 2, "it is far behind"
        before, asked = slow[0].taken, slow[0].say({"presence_stats": {"channel": CHANNEL}})
        crowd.until(lambda: asked in slow[0].about.replies, "an answer")
        answered = slow[0].taken - before
        assert answered <= ON_THE_WAY, f"{answered} bytes came before the answer"
        assert slow[0].about.replies[asked]["presence_stats"]["num_clients"] >= READERS

        feed.stop()
        crowd.until(lambda: feed.answered == feed.count, "the last answer")
        began = time.monotonic()
        start = {guest: guest.taken for guest in slow}
        done: dict[Guest, tuple[int, float]] = {}

        def note() -> bool:
            for guest in slow:
                assert guest.is_open, f"a slow reader was closed with {guest.end}"
                if guest not in done and guest.about.values == feed.newest:
                    done[guest] = (guest.taken - start[guest], time.monotonic() - began)
            return len(done) == SLOW

        crowd.until(note, lambda: f"the newest of every key; {SLOW - len(done)} wait", 180)
        snapshot = KEYS * len('??{"push":{"channel":"board:1","pub":{"data":"","key":"key-123"}}}' + "." * feed.size)
        taken = max(taken for taken, _ in done.values())
        assert taken <= snapshot + ON_THE_WAY, f"{taken} bytes came until it knew all, a snapshot has {snapshot}"
        ratios = [slow_p99 / p99 for (p99, _), (slow_p99, _) in zip(without, with_them, strict=True)]
        figures(
            f"latest: {READERS} readers, {SLOW} at {LINE * 8} bit/s, {RATE} updates/s over {KEYS} keys; none was closed"
        )
        figures(
            f"newest of every key: {taken} bytes after the feed stopped (a snapshot has {snapshot}), "
            f"{max(seconds for _, seconds in done.values()):.1f} s; "
            f"{(snapshot + ON_THE_WAY) / LINE:.1f} s is what the line needs"
        )
        figures(f"an answer overtook: {answered} bytes came before it, {len(behind)} keys waited")
        figures(f"memory: {grown() / 1024:.1f} KiB per slow reader (limit {LIMIT // 1024}) in {len(without)} rounds")
        figures(
            f"fast readers' p99: {', '.join(f'{p99 * 1e3:.1f}' for p99, _ in without)} ms without, "
            f"{', '.join(f'{p99 * 1e3:.1f}' for p99, _ in with_them)} ms with slow ones: "
            f"ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}"
        )
        assert grown() < LIMIT
        # Who reads nothing at all is not waited for for ever.
        members = lambda: metric(server, "jackfield_connections")  # noqa: E731
        crowd.until(lambda: members() == READERS, "the silent reader's end")
        crowd.until(lambda: metric(server, "jackfield_backlog_connections") == 0, "no backlog")
        crowd.until(lambda: metric(server, "jackfield_delivery_stalest_seconds", "board") == 0, "nothing stale")


class Follower:
    """Reads a channel with history over any number of connections; nothing may be missing, twice or out of order."""

    def __init__(self, crowd: Crowd, server: Server, channel: str, *, narrow: bool = False, rate: int | None = None):
        self.crowd, self.server, self.channel, self.narrow, self.rate = crowd, server, channel, narrow, rate
        self.offset, self.epoch, self.joins, self.is_in = 0, "", 0, False
        self.ends: list[int | None] = []
        self.join()

    def join(self) -> None:
        wish: dict[str, Any] = {"channel": self.channel}
        if self.joins:
            wish |= {"recover": True, "offset": self.offset, "epoch": self.epoch}
        self.guest = Guest(self.crowd, self.server, self.hear, [{"subscribe": wish}], narrow=self.narrow)

    def hear(self, guest: Guest, message: dict[str, Any]) -> None:
        assert "error" not in message, message
        if "subscribe" in message:
            reply = message["subscribe"]
            assert reply.get("recovered", False) == (self.joins > 0), "who was closed for being slow recovers"
            assert reply.get("offset", 0) == self.offset and self.epoch in ("", reply["epoch"])
            self.joins, self.epoch, self.is_in = self.joins + 1, reply["epoch"], True
            for publication in reply.get("publications", ()):
                self.take(publication)
            guest.throttle(self.rate)
        elif "push" in message:
            self.take(message["push"]["pub"])

    def take(self, publication: dict[str, Any]) -> None:
        assert publication["offset"] == self.offset + 1 == Feed.number(publication), "a gap"
        self.offset += 1

    def look(self) -> None:
        """Comes back if it was closed."""
        if not self.guest.is_open:
            self.ends.append(self.guest.end)
            self.join()


def test_slow_readers_of_all_are_closed_and_catch_up(server: Server, figures: Callable[[str], None]) -> None:
    with Crowd() as crowd:
        channel, closed = "full:1", metric(server, "jackfield_slow")
        fast = [Follower(crowd, server, channel) for _ in range(20)]
        slow = [Follower(crowd, server, channel, narrow=True, rate=8 * LINE) for _ in range(5)]
        # In the same channel, but content with the newest of each key: nobody has to close it.
        gentle = entered(crowd, server, channel, narrow=True, delivery="latest")
        crowd.until(lambda: all(one.is_in for one in [*fast, *slow]) and is_in(gentle), "all are in")
        gentle.throttle(LINE)
        feed = Feed(crowd, server, channel, 10, RATE, 1000)
        feed.start()
        crowd.until(lambda: all(len(one.ends) > 0 or not one.guest.is_open for one in slow), "all slow ones are closed")
        while feed.count < 6 * RATE:
            for one in slow:
                one.look()
            crowd.during(0.1)
        feed.stop()
        crowd.until(lambda: feed.answered == feed.count, "the last answer")
        for one in slow:
            one.rate = None
            one.guest.throttle(None)

        def caught_up() -> bool:
            for one in slow:
                one.look()
            return all(one.offset == feed.count for one in [*fast, *slow])

        crowd.until(caught_up, lambda: f"{[one.offset for one in slow]} of {feed.count}")
        assert all(not one.ends for one in fast)
        assert all(one.ends and set(one.ends) == {3008} for one in slow), [one.ends for one in slow]
        crowd.until(lambda: gentle.about.values == feed.newest, "the newest for who wanted no more")
        assert gentle.is_open and gentle.about.publications < feed.count
        assert metric(server, "jackfield_slow") - closed == sum(len(one.ends) for one in slow)
        figures(
            f"all: {feed.count} publications of 1 KB; slow ones were closed with 3008 "
            f"{[len(one.ends) for one in slow]} "
            "times, recovered and have every one; "
            f"who asked for latest got {gentle.about.publications} and was not closed"
        )


def test_who_drops_the_oldest_keeps_the_order_and_the_end(server: Server) -> None:
    with Crowd() as crowd:
        dropped = metric(server, "jackfield_delivery_dropped", "ring")
        heard: list[int] = []

        def hear(_: Guest, message: dict[str, Any]) -> None:
            if "push" in message:
                heard.append(Feed.number(message["push"]["pub"]))

        guest = Guest(crowd, server, hear, [{"subscribe": {"channel": "ring:1"}}], narrow=True)
        stats: list[dict[str, Any]] = []
        api = Api(crowd, server)

        def is_member() -> bool:
            api.ask("presence_stats", {"channel": "ring:1"}, stats.append)
            return bool(stats) and stats[-1]["result"]["num_clients"] == 1

        crowd.until(is_member, "the reader is in")
        guest.throttle(0)
        feed = Feed(crowd, server, "ring:1", 10, 0, 2000)
        for count in (1000, 2000):
            feed.publish(1000)
            crowd.until(lambda count=count: feed.answered == count, "an answer")
        guest.throttle(None)
        crowd.until(lambda: heard and heard[-1] == feed.count, "the newest")
        assert guest.is_open and heard == sorted(set(heard))
        missing = metric(server, "jackfield_delivery_dropped", "ring") - dropped
        assert missing == feed.count - len(heard) > 0, "what was dropped is counted"


def test_samples_are_few_and_end_with_the_newest(server: Server) -> None:
    with Crowd() as crowd:
        guest = entered(crowd, server, "pulse:1")
        crowd.until(lambda: is_in(guest), "the reader is in")
        feed = Feed(crowd, server, "pulse:1", 2, RATE)
        began = time.monotonic()
        feed.start()
        crowd.during(2)
        feed.stop()
        crowd.until(lambda: feed.answered == feed.count and guest.about.values == feed.newest, "the newest of each key")
        # Five a second and key, the first at once and the last behind.
        most = 2 * (5 * (time.monotonic() - began) + 2)
        assert 2 * 5 <= guest.about.publications <= most, f"{guest.about.publications} of {feed.count}, {most} are due"


@pytest.mark.parametrize(("channels", "keys", "narrow"), [(1, 10_000, False), (1, 10_000, True), (3, 4_000, True)])
def test_a_long_answer_makes_nobody_slow(server: Server, channels: int, keys: int, narrow: bool) -> None:
    """Longer than what may wait for a slow reader: it was asked for, and it is read."""
    names = [f"board:wide-{keys}-{narrow}-{n}" for n in range(channels)]
    with Crowd() as crowd:
        feeds = [Feed(crowd, server, name, keys, 0, 200) for name in names]
        for feed in feeds:
            for _ in range(keys // 1000):
                feed.publish(1000)
        crowd.until(lambda: all(feed.answered == keys for feed in feeds), "all values")
        found: dict[int, int] = {}

        def hear(_: Guest, message: dict[str, Any]) -> None:
            assert "error" not in message, message
            if "subscribe" in message:
                found[message["id"]] = len(message["subscribe"]["publications"])

        guest = Guest(crowd, server, hear, [{"subscribe": {"channel": name}} for name in names], narrow=narrow)
        if narrow:
            crowd.until(lambda: guest.is_up, "the handshake")
            guest.throttle(1_000_000)
        crowd.until(
            lambda: len(found) == channels or not guest.is_open,
            lambda: f"{found} after {guest.taken} bytes",
        )
        said = f"closed with {guest.end} after {guest.taken} bytes"
        assert guest.is_open and list(found.values()) == [keys] * channels, said
        done = guest.say({"presence_stats": {"channel": names[0]}})
        assert done == channels + 2


def test_who_leaves_its_answers_is_not_read_further(server: Server) -> None:
    """They do not pile up: what it asks after them waits in its own socket, and is answered when it reads again."""
    with Crowd() as crowd:
        feed = Feed(crowd, server, "board:asked", 1000, 0, 1000)
        feed.publish(1000)
        crowd.until(lambda: feed.answered == 1000, "all values")
        replies: list[int] = []

        def hear(_: Guest, message: dict[str, Any]) -> None:
            if "id" in message:
                assert "error" not in message, message
                replies.append(message["id"])

        channel = {"channel": "board:asked"}
        ask = [{"subscribe": channel}, {"unsubscribe": channel}]
        guest = Guest(crowd, server, hear)
        crowd.until(lambda: replies, "the connection")
        blocked = metric(server, "jackfield_backlog_connections")
        guest.throttle(0)
        guest.say(*ask * 3)
        crowd.until(lambda: metric(server, "jackfield_backlog_connections") > blocked, "answers that wait")
        before = resident(server)
        for _ in range(10):
            guest.say(*ask)
        crowd.during(0.5)
        assert resident(server) - before < 4 * 2**20, "answers pile up"
        guest.throttle(None)
        crowd.until(lambda: len(replies) == 1 + 2 * 13 or not guest.is_open, "all answers")
        assert replies == sorted(replies) and len(replies) == 1 + 2 * 13, guest.end
