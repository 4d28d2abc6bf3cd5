"""What breaks between the application and the nodes while it publishes through the queue: every command that it was told is
accepted comes to each subscriber once and in order, or lies in the dead letters, and the queue is empty in the end.

The faults of one broker happen one after the other to the same three nodes, those of the other at the same time."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster import Listener, Place, Publisher, check, metric, node, together
from serving import Server, wait_for

from servers import RabbitMQ, Redis, rabbitmq_script

sys.path.insert(0, str(Path(__file__).parents[1] / "walk"))

from django_jackfield.backends.base import BaseBackend  # noqa: E402
from django_jackfield.backends.rabbitmq import RabbitMQBackend  # noqa: E402
from django_jackfield.backends.redis import RedisBackend  # noqa: E402
from django_jackfield.command import Command  # noqa: E402
from django_jackfield.conf import Config  # noqa: E402
from django_jackfield.errors import PublishError  # noqa: E402
from test_poison import POISON, RabbitDoor, RedisDoor  # noqa: E402

CLIENTS, BATCH = 20, 8
CHANNEL, BESIDE = "kept:orders", "kept:beside"
PARTITIONS = 8
PARTITION = zlib.crc32(CHANNEL.encode()) % PARTITIONS
FULL = 100
SOME = 200
"""Commands before a fault, and after it."""

Counts = dict[str, Any]
ROWS: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints what was counted, in the form of docs/reliability.md."""
    yield
    print("\n| fault | accepted | seen by 20 | refused, sent again | applied by | told | missing | dead letters | longest |")
    print("|---|---|---|---|---|---|---|---|---|")
    for _, row in sorted(ROWS.items()):
        print(row)


class Hall:
    """Three nodes behind one server that is their broker and the application's queue."""

    def __init__(self, broker: Redis | RabbitMQ):
        self.broker = broker
        self.kind = "redis" if isinstance(broker, Redis) else "rabbitmq"
        self.url = broker.admin_url if isinstance(broker, Redis) else broker.url
        # A queue of its own for each test.
        self.prefix = f"q{uuid.uuid4().hex[:8]}"
        self.queue = SimpleNamespace(url=self.url)
        link = (f"app_link.driver={self.kind}", f"app_link.url={self.url}", f"app_link.partitions={PARTITIONS}")
        sets = (*link, f"app_link.prefix={self.prefix}", f"broker.prefix={self.prefix}b", "prometheus.enabled=true")
        self.servers = [node(self.url, name=f"n{number}", sets=sets) for number in range(3)]
        self.places = [Place(server) for server in self.servers]

    def start(self) -> Hall:
        for server in self.servers:
            server.start()
        together(self.servers, 60)
        return self

    def end(self) -> None:
        for server in self.servers:
            if server.process:
                with contextlib.suppress(ProcessLookupError):
                    server.signal(signal.SIGCONT)
                server.__exit__()

    def backend(self, **options: Any) -> BaseBackend:
        """The application's side, as the package has it."""
        made = {"redis": RedisBackend, "rabbitmq": RabbitMQBackend}[self.kind]
        return made(
            Config(
                alias="default", backend=self.kind, options={"url": self.url} | options, keys=("k",), configured_url=None,
                prefix=self.prefix, partitions=PARTITIONS, token_ttl=300, on_commit=False, timeout=2.0,
                breaker=(3, 0.2), anonymous=False,
            )
        )

    def dead(self) -> list[dict[str, str]]:
        """The dead letters, by a connection that no fault has broken."""
        backend = self.backend()
        backend.close()
        return backend.dead_letters(1000)

    def applied(self) -> list[int]:
        """How many commands each node has applied; 0 of one that does not answer."""
        return [metric(server, "jackfield_link_commands_applied_total") for server in self.servers]

    def consumer(self) -> int:
        """Which node applies the commands of the channel at the moment."""
        before = self.applied()

        def moved() -> list[int]:
            return [nth for nth, (old, new) in enumerate(zip(before, self.applied(), strict=True)) if new > old]

        return wait_for(moved, "a node that applies commands")[0]

    def door(self) -> RedisDoor | RabbitDoor:
        return (RedisDoor if self.kind == "redis" else RabbitDoor)(self)  # type: ignore[arg-type]

    def left(self) -> int:
        """How many commands wait."""
        with contextlib.closing(self.door()) as door:
            return door.left()


class App(threading.Thread):
    """Publishes 1, 2, 3 ... through the queue, some at a time, so that there are always some under way; what is not accepted is
    sent again with the same ids."""

    def __init__(self, backend: BaseBackend, pause: float = 0.01):
        super().__init__(daemon=True)
        self.backend, self.pause = backend, pause
        self.acknowledged = self.retries = self.full = 0
        self.longest = 0.0
        self.over = threading.Event()
        self.run_id = uuid.uuid4().hex[:8]

    def run(self) -> None:
        while not self.over.is_set():
            numbers = range(self.acknowledged + 1, self.acknowledged + 1 + BATCH)
            commands = [Command.make("publish", {"channel": CHANNEL, "data": {"n": n}}, f"{self.run_id}-{n}") for n in numbers]
            begun = time.monotonic()
            while True:
                try:
                    self.backend.send(commands)
                    break
                except PublishError as error:
                    self.retries += 1
                    self.full += "full" in str(error)
                    time.sleep(0.02)
            self.acknowledged += BATCH
            self.longest = max(self.longest, time.monotonic() - begun)
            time.sleep(self.pause)
        self.backend.close()

    def stop(self) -> int:
        """Ends, and tells how many were accepted."""
        self.over.set()
        self.join(90)
        assert not self.is_alive(), "the publisher hangs"
        return self.acknowledged


class Crowd:
    """Clients in one channel."""

    def __init__(self, hall: Hall, channel: str = CHANNEL):
        self.listeners = [Listener(hall.places, turn, channel) for turn in range(CLIENTS)]
        for listener in self.listeners:
            listener.start()
        for listener in self.listeners:
            assert listener.in_channel.wait(30)

    def count(self, last: int) -> Counts:
        counts = check(self.listeners, last)
        for listener in self.listeners:
            listener.stop()
        return counts


def through(fault: str, hall: Hall, cause: Callable[[App], None], *, letters: int = 0, **options: Any) -> Counts:
    """Lets clients listen and the application publish, breaks something, and counts."""
    together(hall.servers, 60)
    crowd, before = Crowd(hall), hall.applied()
    app = App(hall.backend(**options))
    app.start()
    wait_for(lambda: app.acknowledged >= SOME, "commands before the fault")
    cause(app)
    reached = app.acknowledged
    wait_for(lambda: app.acknowledged >= reached + SOME, f"commands after the fault; {reached} before", 90)
    last = app.stop()
    counts = crowd.count(last)
    wait_for(lambda: hall.left() == 0, "an empty queue")
    dead = hall.dead()
    assert len(dead) == letters and all(letter["reason"] for letter in dead), dead
    # A node that was killed counts from nothing, or not at all.
    applied = [new - old if new >= old else new for old, new in zip(before, hall.applied(), strict=True)]
    ROWS[f"{hall.kind} {fault}"] = (
        f"| {hall.kind}: {fault} | {last} | {counts['seen']} | {app.retries} | {' + '.join(map(str, applied))} | "
        f"{counts['told']} | {counts['missing']} | {len(dead)} | {app.longest:.1f} s |"
    )
    return counts | {"full": app.full, "retries": app.retries}


def killed(hall: Hall) -> Counts:
    gone: list[Server] = []

    def kill(_: App) -> None:
        gone.append(hall.servers[hall.consumer()])
        assert gone[0].process
        gone[0].process.kill()
        gone[0].process.wait()

    counts = through("the node that consumes, kill -9", hall, kill)
    gone[0].log.close()
    gone[0].start()
    return counts


def frozen(hall: Hall) -> Counts:
    heirs: set[int] = set()

    def freeze(_: App) -> None:
        still = hall.consumer()
        hall.servers[still].signal(signal.SIGSTOP)
        before, until = hall.applied(), time.monotonic() + 10  # The fault itself.
        while time.monotonic() < until:
            time.sleep(0.5)
            heirs.update(nth for nth, count in enumerate(hall.applied()) if nth != still and count > before[nth])
        hall.servers[still].signal(signal.SIGCONT)

    return through("the node that consumes, SIGSTOP for 10 s", hall, freeze) | {"heirs": heirs}


def restarted(hall: Hall) -> Counts:
    """Beside the commands somebody publishes over HTTP into another channel."""
    crowd, publisher = Crowd(hall, BESIDE), Publisher(hall.places, BESIDE, pause=0.01)
    publisher.start()
    wait_for(lambda: publisher.acknowledged >= SOME / 2, "publications before the fault", 60)

    def restart(_: App) -> None:
        hall.broker.kill()
        hall.broker.start()

    counts = through("kill -9 of it, and restart", hall, restart)
    reached = publisher.acknowledged
    wait_for(lambda: publisher.acknowledged > reached + 20, "publications after the fault", 60)
    last = publisher.stop()
    beside = crowd.count(last)
    ROWS[f"{hall.kind} {restarted.__name__}"] = (
        f"| {hall.kind}: the same, published over HTTP | {last} | {beside['seen']} | {publisher.retries} | | {beside['told']} | "
        f"{beside['missing']} | | {publisher.longest:.1f} s |"
    )
    return counts | {"beside": beside}


def filled(hall: Hall) -> Counts:
    options = {"max_backlog": FULL} if hall.kind == "redis" else {}
    if isinstance(hall.broker, RabbitMQ):
        limit = json.dumps({"max-length": FULL, "overflow": "reject-publish"})
        control(hall.broker, "set_policy", "full", rf"^{hall.prefix}\.commands\.", limit, "--apply-to", "queues")

    def fill(app: App) -> None:
        for server in hall.servers:
            server.signal(signal.SIGSTOP)
        try:
            wait_for(lambda: app.full >= 10, "refusals")
            waiting = app.acknowledged
        finally:
            for server in hall.servers:
                server.signal(signal.SIGCONT)
        wait_for(lambda: app.acknowledged > waiting, "commands that are accepted again")

    counts = through("full", hall, fill, **options)
    if isinstance(hall.broker, RabbitMQ):
        control(hall.broker, "clear_policy", "full")
    return counts


def control(broker: RabbitMQ, *command: str) -> None:
    """What an operator says to RabbitMQ."""
    tool = Path(rabbitmq_script()).with_name("rabbitmqctl")
    done = subprocess.run([str(tool), *command], env=broker.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def poisoned(hall: Hall) -> Counts:
    rounds = 5

    def poison(app: App) -> None:
        with contextlib.closing(hall.door()) as door:
            for turn in range(rounds):
                for name, method, payload, _ in POISON:
                    door.put(PARTITION, f"{name}-{turn}", method, payload)
                since = app.acknowledged
                wait_for(lambda since=since: app.acknowledged > since, "commands between the poison")

    counts = through("poison among them", hall, poison, letters=rounds * len(POISON))
    reasons = {letter["id"]: letter["reason"] for letter in hall.dead()}
    wrong = [(name, turn) for name, _, _, words in POISON for turn in range(rounds) if words not in reasons[f"{name}-{turn}"]]
    return counts | {"wrong": wrong}


def play(make: type[Redis | RabbitMQ]) -> dict[str, Counts | Exception]:
    """All faults of one broker; what went wrong in one of them is told by its test."""
    broker = make()
    done: dict[str, Counts | Exception] = {}
    try:
        broker.start()
        hall = Hall(broker)
        try:
            hall.start()
            for fault in (killed, frozen, restarted, filled, poisoned):
                try:
                    done[fault.__name__] = fault(hall)
                except (AssertionError, PublishError) as error:
                    done[fault.__name__] = error
        finally:
            hall.end()
    finally:
        broker.remove()
    return done


STORIES = {"queue redis": lambda: play(Redis), "queue rabbitmq": lambda: play(RabbitMQ)}
Stories = dict[str, Future[dict[str, Counts | Exception]]]


def of(stories: Stories, kind: str, fault: str) -> Counts:
    counts = stories[f"queue {kind}"].result(600)[fault]
    if isinstance(counts, Exception):
        raise counts
    return counts


KINDS = pytest.mark.parametrize("kind", ["redis", "rabbitmq"])


@KINDS
def test_the_node_that_consumes_is_killed(kind: str, stories: Stories) -> None:
    counts = of(stories, kind, "killed")
    assert counts["told"] == 0 and counts["missing"] == 0


@KINDS
def test_the_node_that_consumes_stands_still(kind: str, stories: Stories) -> None:
    counts = of(stories, kind, "frozen")
    assert counts["told"] == 0 and counts["missing"] == 0
    # RabbitMQ knows a consumer by its connection, which such a stop does not end; a lease in Redis runs out.
    assert counts["heirs"] or kind == "rabbitmq", "nobody took the lease over"


@KINDS
def test_the_queue_is_killed_and_comes_back(kind: str, stories: Stories) -> None:
    counts = of(stories, kind, "restarted")
    assert counts["retries"] > 0
    for one in (counts, counts["beside"]):
        assert one["missing"] == 0 and (one["told"] == 0 or kind == "rabbitmq"), counts


@KINDS
def test_a_full_queue_refuses(kind: str, stories: Stories) -> None:
    counts = of(stories, kind, "filled")
    assert counts["full"] >= 10 and counts["missing"] == 0 and counts["told"] == 0, counts


@KINDS
def test_poison_holds_up_nobody(kind: str, stories: Stories) -> None:
    counts = of(stories, kind, "poisoned")
    assert counts["told"] == 0 and counts["missing"] == 0 and counts["wrong"] == []
