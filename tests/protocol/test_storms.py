"""Thousands of real sockets: a crowded channel answers at once, storms stay inside, and a dropped crowd comes back."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from crowds import OPEN, Api, Crowd, Guest, figures, metric, percentile, processor, resident
from serving import Server

__all__ = ["figures"]

# As many as the limit of open files allows: JACKFIELD_CROWD=15000.
CROWD = int(os.environ.get("JACKFIELD_CROWD", "2000"))
STORM = 10_000
LISTENERS, RATE = 50, 200
MISSED = 20
PATIENCE = 120.0

CONFIG = (
    OPEN
    + """
ping_interval = "5m"
[http_server]
handshake_timeout = "1m"
[[channel.namespaces]]
name = "hall"
presence = true
join_leave = true
force_push_join_leave = true
join_leave_limit = 300
[[channel.namespaces]]
name = "calm"
[[channel.namespaces]]
name = "news"
presence = true
history_size = 1000
history_ttl = "5m"
force_recovery = true
"""
)


class Member:
    """What one of the crowd has heard."""

    def __init__(self) -> None:
        self.replies = 0
        self.offset, self.epoch = 0, ""
        self.recovered, self.is_in = False, False
        self.news = 0

    def hear(self, _: Guest, message: dict[str, Any]) -> None:
        assert "error" not in message, message
        if "push" in message:
            self.news += 1
            if "pub" in message["push"]:
                self.take(message["push"]["pub"])
            return
        self.replies += 1
        if "subscribe" in message:
            reply = message["subscribe"]
            self.recovered, self.is_in = reply.get("recovered", False), True
            self.offset, self.epoch = reply.get("offset", 0), reply.get("epoch", "")
            for publication in reply.get("publications", ()):
                self.take(publication)

    def take(self, publication: dict[str, Any]) -> None:
        if "offset" in publication:
            assert publication["offset"] == self.offset + 1, f"{publication['offset']} after {self.offset}"
            self.offset += 1


def gather(crowd: Crowd, server: Server, channel: str, count: int, ramp: int = 500) -> list[Guest]:
    """So many guests in a channel; `ramp` of them may be on their way in at a time."""
    guests: list[Guest] = []
    inside = 0

    def is_in(at: int) -> bool:
        guest = guests[at]
        if not guest.is_open and not guest.about.is_in:
            # So many at once are more than the system lets wait; whoever it turned away tries again.
            assert guest.end is None, f"closed with {guest.end}"
            again = Guest(crowd, server, guest.hear, [{"subscribe": {"channel": channel}}])
            again.about, guests[at] = guest.about, again
        return bool(guest.about.is_in)

    while inside < count:
        while len(guests) < count and len(guests) - inside < ramp:
            member = Member()
            guest = Guest(crowd, server, member.hear, [{"subscribe": {"channel": channel}}])
            guest.about = member
            guests.append(guest)
        crowd.until(lambda at=inside: is_in(at), f"{inside} are in, of {count}", PATIENCE)
        while inside < len(guests) and is_in(inside):
            inside += 1
    return guests


def timed(crowd: Crowd, asker: Guest, channel: str, count: int = 50) -> tuple[float, int]:
    """The median time of an answer to `presence_stats`, and what it said."""
    answers: list[dict[str, Any]] = []
    hear, asker.hear = asker.hear, lambda _, message: answers.append(message)
    times = []
    for _ in range(count):
        began, known = time.perf_counter(), len(answers)
        asker.say({"presence_stats": {"channel": channel}})
        while len(answers) == known:
            crowd.turn()
        times.append(time.perf_counter() - began)
    asker.hear = hear
    return statistics.median(times), answers[-1]["presence_stats"]["num_clients"]


def listen(server: Server, pipe: Connection) -> None:
    """A process of its own: publishes into a calm channel, and notes when each publication was heard by the last."""
    samples: list[tuple[float, float]] = []

    def glance(_: Guest, data: bytes) -> None:
        stamp = data.find(b'"#')
        if stamp >= 0:
            due = float(data[stamp + 2 : data.find(b"#", stamp + 2)])
            samples.append((due, time.monotonic() - due))

    with Crowd() as crowd:
        guests = gather(crowd, server, "calm:1", LISTENERS)
        for guest in guests:
            guest.glance = glance
        api = Api(crowd, server)
        since, sent = time.monotonic(), 0

        def publish(now: float) -> None:
            nonlocal sent
            while now >= since + sent / RATE:
                api.ask("publish", {"channel": "calm:1", "data": f"#{since + sent / RATE:.6f}#"}, lambda _: None)
                sent += 1

        crowd.chores.append(publish)
        pipe.send("ready")
        while not pipe.poll():
            crowd.turn(0.002)
    pipe.send(samples)


class Calm:
    """What a quiet channel notices of what goes on beside it."""

    def __init__(self, server: Server):
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=listen, args=(server, theirs), daemon=True)
        self.process.start()
        assert self.pipe.recv() == "ready"
        self.spans: list[tuple[str, float, float]] = []

    def during(self, name: str, what: Callable[[], Any]) -> None:
        began = time.monotonic()
        what()
        self.spans.append((name, began, time.monotonic()))

    def end(self) -> dict[str, list[float]]:
        """The 99th percentiles in seconds, of each span by name."""
        self.pipe.send("end")
        samples = self.pipe.recv()
        self.process.join()
        heard: dict[str, list[float]] = {}
        for name, began, ended in self.spans:
            late = [lateness for due, lateness in samples if began <= due <= ended]
            assert late, f"nothing was heard in the calm channel during {name}"
            heard.setdefault(name, []).append(percentile(late, 0.99))
        return heard


def storm(crowd: Crowd, guests: list[Guest], channel: str, count: int) -> None:
    """Guests leave and come back, all at once, until there were `count` leaves and joins."""
    done = 0
    while done < count:
        some = guests[: (count - done + 1) // 2]
        due = {guest: guest.about.replies + 2 for guest in some}
        for guest in some:
            guest.say({"unsubscribe": {"channel": channel}}, {"subscribe": {"channel": channel}})
        crowd.until(
            lambda due=due: all(guest.about.replies >= replies for guest, replies in due.items()),
            f"{done} of {count} have come and gone",
            PATIENCE,
        )
        done += 2 * len(some)


def test_a_crowded_channel_answers_at_once_and_its_storms_stay_inside(figures: Callable[[str], None]) -> None:
    with Server(CONFIG, workers=2) as server, Crowd() as crowd:
        began = time.monotonic()
        big = gather(crowd, server, "hall:big", CROWD)
        joined = time.monotonic() - began
        loud, small = gather(crowd, server, "hall:loud", 200), gather(crowd, server, "hall:small", 10)
        asker = gather(crowd, server, "calm:2", 1)[0]
        asked = [(timed(crowd, asker, "hall:small"), timed(crowd, asker, "hall:big")) for _ in range(3)]
        ended = {guest.end for guest in big if not guest.is_open}
        assert all(few == 10 and many == CROWD for (_, few), (_, many) in asked), (asked, ended)
        calm = Calm(server)
        for _ in range(3):
            calm.during("nothing", lambda: crowd.during(1.5))
            calm.during("big", lambda: storm(crowd, big, "hall:big", STORM))
            calm.during("loud", lambda: storm(crowd, loud, "hall:loud", 2000))
        heard = calm.end()
        # Who left and came back is there, once.
        assert timed(crowd, asker, "hall:big", 1)[1] == CROWD
        assert timed(crowd, asker, "hall:loud", 1)[1] == 200
        assert sum(guest.about.news for guest in loud) > 3 * 2000 * 100, "they hear each other come and go"
        figures(f"{CROWD} members came in in {joined:.1f} s; the server has {resident(server) / 1e6:.0f} MB")
        times = [(few * 1e6, many * 1e6) for (few, _), (many, _) in asked]
        figures(
            f"presence_stats of 10 and of {CROWD}: {', '.join(f'{few:.0f} and {many:.0f} us' for few, many in times)}, "
            f"ratio {statistics.median(many / few for few, many in times):.2f}"
        )
        for name, what in (("big", f"{STORM} in a channel of {CROWD}"), ("loud", "2000 heard by 200 each")):
            ratios = [with_it / without for without, with_it in zip(heard["nothing"], heard[name], strict=True)]
            spans = [ended - began for span, began, ended in calm.spans if span == name]
            figures(
                f"p99 beside a storm, {what} in {statistics.median(spans):.2f} s: "
                f"{', '.join(f'{late * 1e3:.1f}' for late in heard[name])} ms, "
                f"{', '.join(f'{late * 1e3:.1f}' for late in heard['nothing'])} ms without, "
                f"ratio {statistics.median(ratios):.2f}"
            )
        # Everybody goes at once: nobody is left in the lists.
        for guest in [*big, *loud, *small]:
            guest.close(reset=True)
        for hall in ("hall:big", "hall:loud", "hall:small"):
            crowd.until(lambda hall=hall: timed(crowd, asker, hall, 1)[1] == 0, f"{hall} is empty", PATIENCE)


def come_back(crowd: Crowd, server: Server, guest: Guest) -> Guest:
    """The same client on another connection."""
    member, known = Member(), guest.about
    wish = {"channel": "news:1", "recover": True, "offset": known.offset, "epoch": known.epoch}
    back = Guest(crowd, server, member.hear, [{"subscribe": wish}])
    back.about = member
    return back


def all_back(crowd: Crowd, server: Server, guests: list[Guest], top: int) -> tuple[list[Guest], tuple[float, ...]]:
    """Everybody dials at once; seconds until all have caught up, those of dialling, repeated calls, processor time."""
    cpu, began = processor(server), time.monotonic()
    back = [come_back(crowd, server, guest) for guest in guests]
    dialled, retries = time.monotonic() - began, 0
    missing = set(range(len(back)))

    def are_back() -> bool:
        nonlocal retries
        for index in list(missing):
            guest = back[index]
            if not guest.is_open:
                # So many at once are more than the system lets wait; whoever it turned away tries again.
                assert guest.end is None, f"closed with {guest.end}"
                back[index], retries = come_back(crowd, server, guests[index]), retries + 1
            elif guest.about.offset == top:
                missing.remove(index)
        return not missing

    crowd.until(
        are_back,
        lambda: f"{len(missing)} are not back, of them {sum(not back[one].is_up for one in missing)} not connected",
        PATIENCE,
    )
    spent = time.monotonic() - began, dialled, retries, processor(server) - cpu
    assert all(guest.about.recovered for guest in back)
    return back, spent


def test_a_dropped_crowd_comes_back_at_once_and_misses_nothing(figures: Callable[[str], None]) -> None:
    with Server(CONFIG, workers=2) as server, Crowd() as crowd:
        answered: list[Any] = []

        def publish() -> None:
            body = {"channel": "news:1", "data": "x" * 120}
            api.ask("batch", {"commands": [{"publish": body}] * MISSED}, answered.append)

        guests = gather(crowd, server, "news:1", CROWD)
        api = Api(crowd, server)
        publish()
        crowd.until(lambda: all(guest.about.offset == MISSED for guest in guests), "the first news", PATIENCE)
        known = metric(server, "jackfield_connections")
        rounds = []
        for turn in range(2):
            for guest in guests:
                guest.close(reset=True)
            publish()
            crowd.until(lambda: metric(server, "jackfield_connections") == known - CROWD, "all are gone", PATIENCE)
            guests, spent = all_back(crowd, server, guests, (turn + 2) * MISSED)
            rounds.append(spent)
        # They are back for good: what comes now reaches everybody, once and in order.
        publish()
        crowd.until(lambda: all(guest.about.offset == 4 * MISSED for guest in guests), "news after that", PATIENCE)
        for seconds, dialled, retries, cpu in rounds:
            figures(
                f"{CROWD} dropped, {MISSED} missed: all caught up in {seconds:.2f} s (a generator of one thread, "
                f"which dialled for {dialled:.2f} s), {retries} had to dial again, "
                f"{cpu / CROWD * 1e6:.0f} us of server CPU per recovery, handshake and connect with it"
            )
