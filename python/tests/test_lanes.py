"""The worker with a queue in memory: order, second tries, batches, bursts, stuck handlers."""

import logging
import threading
import urllib.request

import pytest
from django.utils import translation

from django_jackfield import Channel, on
from django_jackfield.backends.base import BaseBackend
from django_jackfield.conf import load
from django_jackfield.registry import isolated
from django_jackfield.signals import handler_stuck, message_dead
from django_jackfield.worker.feed import Delivery
from django_jackfield.worker.metrics import serve
from django_jackfield.worker.worker import Worker
from servers import until
from workers import event, say


class MemoryFeed:
    """Hands over what a test gives it, and remembers what became of it."""

    capacity = 1000
    most_attempts = None

    def __init__(self, sink):
        self.sink = sink
        self.settled = []
        self.refused = set()

    def describe(self):
        return "memory"

    def start(self):
        pass

    def put(self, *events, attempt=1):
        for fields in events:
            assert self.sink.submit(Delivery(fields, attempt, None), timeout=0.0)

    def admit(self, delivery):
        return delivery.fields["id"] not in self.refused

    def attempt(self, delivery):
        return delivery.attempt

    def settle(self, delivery, outcome):
        self.settled.append((delivery.fields["id"], outcome))

    def ids(self):
        return [one for one, _ in self.settled]

    def stop_reading(self):
        pass

    def close(self, timeout):
        return True


class MemoryBackend(BaseBackend):
    def feed(self, sink, partitions):
        return MemoryFeed(sink)


class Running:
    """A worker in a thread of the test."""

    def __init__(self, registry, **options):
        options = {"grace_seconds": 10.0} | options
        self.worker = Worker(MemoryBackend(load("default", {})), registry, **options)
        self.feed = self.worker.feed
        self.clean = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        self.clean = self.worker.run()

    def settled(self, count):
        until(lambda: len(self.feed.settled) >= count, what=f"{count} settled events")
        return self.feed.settled

    def stop(self):
        self.worker.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()
        until(lambda: lane_threads() == 0 or not self.clean, what="the end of the threads")
        return self.clean


def lane_threads():
    return sum(one.name.startswith("lane-") for one in threading.enumerate())


@pytest.fixture
def registry():
    with isolated() as empty:
        yield empty


@pytest.fixture
def run(registry):
    made = []

    def make(**options):
        made.append(Running(registry, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


class Log:
    """What handlers did, in order; and a gate at which they can be held."""

    def __init__(self):
        self.lines = []
        self.begun = threading.Event()
        self.gate = threading.Event()

    def held(self):
        self.begun.set()
        assert self.gate.wait(30)


@pytest.fixture
def log():
    one = Log()
    yield one
    one.gate.set()


def test_a_connection_is_a_lane_unless_the_class_says_otherwise(registry, run, log):
    class Room(Channel):
        pattern = "room:<int:pk>"

        @on("say")
        def say(self, ctx, data, pk):
            if "hold" in data:
                log.held()
            log.lines.append((ctx.client, ctx.seq))

    one = run(threads=4)
    one.feed.put(say("a", 1, hold=True), say("a", 2), say("b", 1), say("b", 2))
    one.settled(2)
    assert log.lines == [("b", 1), ("b", 2)]
    log.gate.set()
    one.settled(4)
    assert log.lines[2:] == [("a", 1), ("a", 2)]


@pytest.mark.parametrize(
    ("ordering", "events"),
    [
        ("channel", [("a", "1", "room:1"), ("b", "2", "room:1"), ("c", "3", "room:1")]),
        ("user", [("a", "1", "room:1"), ("b", "1", "room:2"), ("c", "1", "room:3")]),
    ],
)
def test_a_channel_or_a_user_is_a_lane(registry, run, log, ordering, events):
    class Room(Channel):
        pattern = "room:<int:pk>"

        @on("say")
        def say(self, ctx, data, pk):
            if "hold" in data:
                log.held()
            log.lines.append(ctx.client)

    Room.ordering = ordering
    one = run(threads=4)
    for n, (client, user, channel) in enumerate(events):
        data = {"hold": True} if n == 0 else {}
        fields = say(client, 1, **data) | {"user": user, "channel": channel}
        one.feed.put(fields)
    other = say("d", 1) | {"user": "9", "channel": "room:9"}
    one.feed.put(other)
    one.settled(1)
    assert log.lines == ["d"]
    log.gate.set()
    one.settled(4)
    assert log.lines == ["d", "a", "b", "c"]


def test_a_second_try_keeps_the_order_and_holds_no_thread(registry, run, log):
    class Room(Channel):
        pattern = "room:<int:pk>"

        @on("say", retry=2, backoff="50ms")
        def say(self, ctx, data, pk):
            log.lines.append((ctx.client, ctx.seq, ctx.attempt))
            if data.get("fails", 0) >= ctx.attempt:
                raise RuntimeError("not yet")

    one = run(threads=1)
    one.feed.put(say("a", 1, fails=2), say("a", 2), say("b", 1))
    one.settled(3)
    assert log.lines[:2] == [("a", 1, 1), ("b", 1, 1)]
    assert log.lines[2:] == [("a", 1, 2), ("a", 1, 3), ("a", 2, 1)]
    assert not any(outcome.dead for _, outcome in one.feed.settled)
    assert one.worker.counts["tried again"] == 2


def test_the_last_try_ends_in_the_dead_letters(registry, run, log):
    dead = []

    @on("message", retry=1, backoff="10ms")
    def say(ctx, data):
        log.lines.append(ctx.attempt)
        raise RuntimeError("never")

    def note(reason, **_):
        dead.append(reason)

    message_dead.connect(note)
    try:
        one = run()
        one.feed.put(event("a", 1, channel="", data="1"))
        one.settled(1)
    finally:
        message_dead.disconnect(note)
    assert (log.lines, dead) == ([1, 2], ["RuntimeError: never"])


def test_what_waits_for_a_second_try_is_left_by_a_worker_that_stops(registry, run, log):
    @on("message", retry=1, backoff="1h")
    def say(ctx, data):
        log.lines.append(data)
        raise RuntimeError("not yet")

    one = run()
    one.feed.put(event("a", 1, channel="", data="1"), event("a", 2, channel="", data="2"))
    until(lambda: one.worker.counts["tried again"], what="the failure")
    assert one.stop() is True
    assert (log.lines, one.feed.settled) == ([1], [])


def test_a_batch_is_what_waits_of_one_handler_and_one_channel(registry, run, log):
    class Meter(Channel):
        pattern = "room:<int:pk>"

        @on("reading", batch=3)
        def reading(self, ctx, items, pk):
            assert [one.seq for one in ctx.batch] == [item["n"] for item in items]
            log.lines.append([pk, *(item["n"] for item in items)])
            log.held()

        @on("say")
        def say(self, ctx, data, pk):
            log.lines.append("say")

    def reading(seq, channel="room:1"):
        return say("a", seq, "reading", n=seq) | {"channel": channel}

    one = run()
    one.feed.put(reading(1))
    assert log.begun.wait(30)
    gone = reading(3)
    one.feed.refused.add(gone["id"])
    one.feed.put(*(reading(n) for n in (2,)), gone, *(reading(n) for n in (4, 5, 6)))
    one.feed.put(say("a", 7), reading(8), reading(9, "room:2"))
    log.gate.set()
    one.settled(8)
    assert log.lines == [[1, 1], [1, 2, 4], [1, 5, 6], "say", [1, 8], [2, 9]]
    assert one.worker.counts["given back"] == 1


def test_all_of_a_batch_is_tried_again_or_dead(registry, run, log):
    class Meter(Channel):
        pattern = "room:<int:pk>"

        @on("reading", batch=10, retry=1, backoff="10ms")
        def reading(self, ctx, items, pk):
            log.lines.append([item["n"] for item in items])
            log.held()
            raise RuntimeError("no")

    one = run()
    one.feed.put(say("a", 1, "reading", n=1))
    assert log.begun.wait(30)
    one.feed.put(say("a", 2, "reading", n=2), say("a", 3, "reading", n=3))
    log.gate.set()
    one.settled(3)
    assert log.lines[:2] == [[1], [1, 2, 3]]
    assert all(outcome.dead == "RuntimeError: no" for _, outcome in one.feed.settled)


def test_the_last_of_a_burst_is_handled(registry, run, log):
    class Doc(Channel):
        pattern = "room:<int:pk>"

        @on("save", debounce="500ms")
        def save(self, ctx, data, pk):
            log.lines.append((pk, data["n"]))

    one = run()
    events = [say(client, 1, "save", n=n) for n, client in enumerate("abc")]
    other = say("a", 2, "save", n=7) | {"channel": "room:2"}
    one.feed.put(*events, other)
    one.settled(4)
    assert sorted(log.lines)[-2:] == [(1, 2), (2, 7)]
    # What is replaced is settled at once, the last of a burst when it was handled.
    ids = one.feed.ids()
    assert max(events, key=lambda one: ids.index(one["id"])) is events[2]


def test_a_burst_holds_up_nothing_else(registry, run, log):
    class Doc(Channel):
        pattern = "room:<int:pk>"

        @on("save", debounce="1h")
        def save(self, ctx, data, pk):
            log.lines.append((pk, data["n"]))

        @on("say")
        def say(self, ctx, data, pk):
            log.lines.append("say")

    one = run()
    events = [say(client, 1, "save", n=n) for n, client in enumerate("abc")]
    other = say("a", 2, "save", n=7) | {"channel": "room:2"}
    one.feed.put(*events, other, say("a", 3))
    one.settled(3)
    assert log.lines == ["say"]
    assert one.worker.counts["replaced by a later one"] == 2
    assert one.stop() is True
    assert sorted(log.lines[1:]) == [(1, 2), (2, 7)]


def test_a_burst_ends_with_the_worker(registry, run, log):
    @on("message", debounce="1h")
    def save(ctx, data):
        log.lines.append(data)

    one = run()
    one.feed.put(*(event("a", n, channel="", data=str(n)) for n in range(1, 4)))
    until(lambda: one.worker.counts["replaced by a later one"] == 2, what="the burst")
    assert one.stop() is True
    assert (log.lines, len(one.feed.settled)) == ([3], 3)


def test_a_burst_that_does_not_end_is_handled_all_the_same(registry, run, log):
    @on("message", debounce="100ms")
    def save(ctx, data):
        log.lines.append(data)

    one = run()
    numbers = iter(range(1, 10**6))

    def handled():
        one.feed.put(event("a", 1, channel="", data=str(next(numbers))))
        return log.lines

    until(handled, what="the burst")


def test_a_stuck_handler_is_shown_and_its_thread_replaced(registry, run, log, caplog):
    stuck = []

    def note(seconds, stack, **_):
        stuck.append((seconds, stack))

    @on("message", timeout="100ms")
    def wait(ctx, data):
        if data == "hold":
            log.held()
        log.lines.append(data)

    handler_stuck.connect(note)
    try:
        one = run(threads=1)
        with caplog.at_level(logging.ERROR, "django_jackfield.worker"):
            one.feed.put(event("a", 1, channel="", data='"hold"'))
            assert log.begun.wait(30)
            one.feed.put(event("a", 2, channel="", data="2"), event("b", 1, channel="", data="1"))
            one.settled(1)
            assert log.lines == [1]
            until(lambda: stuck, what="the report")
    finally:
        handler_stuck.disconnect(note)
    [(seconds, stack)] = stuck
    assert seconds >= 0.1
    assert "log.held()" in stack
    assert "is here" in caplog.text
    assert one.worker.watch.stuck == 1
    log.gate.set()
    one.settled(3)
    assert log.lines == [1, "hold", 2]
    until(lambda: lane_threads() == 1, what="the end of the thread that was replaced")


def test_the_worker_has_a_limit_for_all_handlers(registry, run, log):
    @on("message")
    def wait(ctx, data):
        log.held()

    one = run(threads=1, handler_timeout=0.1)
    one.feed.put(*(event(f"c{n}", 1, channel="", data="1") for n in range(4)))
    # One thread more than there were, and no other.
    until(lambda: one.worker.watch.stuck == 2, what="two reports")
    assert one.worker.watch.running == 2
    log.gate.set()
    one.settled(4)


def test_what_ended_too_many_workers_is_dead(registry, run, log):
    @on("message")
    def say(ctx, data):
        log.lines.append(ctx.attempt)

    one = run(max_attempts=3)
    one.feed.put(event("a", 1, channel="", data="1"), attempt=3)
    one.feed.put(event("a", 2, channel="", data="1"), attempt=4)
    one.settled(2)
    assert log.lines == [3]
    assert [outcome.dead for _, outcome in one.feed.settled] == [
        "",
        "begun 3 times, never finished",
    ]


def test_each_message_has_the_language_of_its_connection(registry, run, log):
    @on("message")
    def say(ctx, data):
        log.lines.append((ctx.language, translation.get_language()))
        translation.activate("fr")

    one = run(threads=1)
    for n, meta in enumerate(('{"language": "de-at"}', "{}", '{"language": "xx"}'), 1):
        one.feed.put(event("a", n, channel="", data="1", meta=meta))
    one.settled(3)
    assert log.lines == [("de-at", "de"), ("", "en-us"), ("xx", "en-us")]


def test_figures_for_prometheus(registry, run, log):
    @on("message")
    def say(ctx, data):
        if data == "hold":
            log.held()
        if data == "fail":
            raise RuntimeError

    one = run(threads=2)
    one.feed.put(*(event("a", n, channel="", data="1") for n in range(3)))
    one.feed.put(event("a", 9, channel="", data='"fail"'))
    one.settled(4)
    one.feed.put(event("b", 1, channel="", data='"hold"'), event("b", 2, channel="", data="1"))
    assert log.begun.wait(30)
    server = serve(0, lambda: one.worker.metrics.text(one.worker))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            lines = dict(
                line.rsplit(" ", 1)
                for line in answer.read().decode().splitlines()
                if not line.startswith("#")
            )
    finally:
        server.shutdown()
        server.server_close()
    name = "jackfield_worker"
    assert lines[f'{name}_events_total{{type="message",outcome="handled"}}'] == "3"
    assert lines[f'{name}_events_total{{type="message",outcome="dead"}}'] == "1"
    assert lines[f'{name}_handler_seconds_count{{type="message"}}'] == "4"
    assert lines[f'{name}_handler_seconds_bucket{{type="message",le="+Inf"}}'] == "4"
    assert (lines[f"{name}_in_flight"], lines[f"{name}_held"], lines[f"{name}_lanes"]) == (
        *("1", "2", "1"),
    )
