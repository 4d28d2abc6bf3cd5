"""What breaks between the application and the nodes while it publishes through the queue: every command that it was told is
accepted comes to each subscriber once and in order, or lies in the dead letters, and the queue is empty in the end."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
import urllib.request
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster import Listener, Place, check, node, together
from serving import Server, wait_for

from servers import RabbitMQ, Redis

sys.path.insert(0, str(Path(__file__).parents[1] / "walk"))

from django_jackfield.backends.base import BaseBackend  # noqa: E402
from django_jackfield.backends.rabbitmq import RabbitMQBackend  # noqa: E402
from django_jackfield.backends.redis import RedisBackend  # noqa: E402
from django_jackfield.command import Command  # noqa: E402
from django_jackfield.conf import Config  # noqa: E402
from django_jackfield.errors import PublishError  # noqa: E402
from test_poison import POISON, RabbitDoor, RedisDoor  # noqa: E402

CLIENTS = 20
CHANNEL = "kept:orders"
PARTITIONS = 8
PARTITION = zlib.crc32(CHANNEL.encode()) % PARTITIONS
FULL = 100
ROWS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints what was counted, in the form of docs/reliability.md."""
    yield
    print("\n| fault | accepted | seen by 20 | refused, sent again | applied by | told | missing | dead letters | longest |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in ROWS:
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
                alias="default", backend=self.kind, options={"url": self.url} | options, keys=("k",), public_url=None,
                prefix=self.prefix, partitions=PARTITIONS, token_ttl=300, on_commit=False, timeout=2.0,
                breaker=(3, 0.2), anonymous=False,
            )
        )

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


def metric(server: Server, name: str) -> int:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{server.internal}/metrics", timeout=2) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith(name + " "):
                return int(float(line.split()[1]))
    return 0


class App(threading.Thread):
    """Publishes 1, 2, 3 ... through the queue, one after the other; what is not accepted is sent again with the same id."""

    def __init__(self, backend: BaseBackend, pause: float = 0.002):
        super().__init__(daemon=True)
        self.backend, self.pause = backend, pause
        self.acknowledged = self.retries = self.full = 0
        self.longest = 0.0
        self.over = threading.Event()
        self.run_id = uuid.uuid4().hex[:8]

    def run(self) -> None:
        while not self.over.is_set():
            number = self.acknowledged + 1
            command = Command.make("publish", {"channel": CHANNEL, "data": {"n": number}}, f"{self.run_id}-{number}")
            begun = time.monotonic()
            while True:
                try:
                    self.backend.send([command])
                    break
                except PublishError as error:
                    self.retries += 1
                    self.full += "full" in str(error)
                    time.sleep(0.02)
            self.acknowledged = number
            self.longest = max(self.longest, time.monotonic() - begun)
            time.sleep(self.pause)
        self.backend.close()

    def stop(self) -> int:
        """Ends, and tells how many were accepted."""
        self.over.set()
        self.join(90)
        assert not self.is_alive(), "the publisher hangs"
        return self.acknowledged


def through(name: str, hall: Hall, fault: Callable[[App], None], *, letters: int = 0, more: int = 300, **options: Any) -> dict[str, int]:
    """Lets clients listen and the application publish, breaks something, and counts."""
    listeners = [Listener(hall.places, turn, CHANNEL) for turn in range(CLIENTS)]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        assert listener.in_channel.wait(30)
    app = App(hall.backend(**options))
    app.start()
    wait_for(lambda: app.acknowledged >= 300, "commands before the fault")
    fault(app)
    reached = app.acknowledged
    wait_for(lambda: app.acknowledged >= reached + more, f"commands after the fault; {reached} before", 90)
    last = app.stop()
    counts = check(listeners, last)
    for listener in listeners:
        listener.stop()
    wait_for(lambda: hall.left() == 0, "an empty queue")
    dead = hall.backend().dead_letters(1000)
    assert len(dead) == letters and all(letter["reason"] for letter in dead), dead
    applied = " + ".join(str(count) for count in hall.applied())
    ROWS.append(
        f"| {name} | {last} | {counts['seen']} | {app.retries} | {applied} | {counts['told']} | {counts['missing']} | {len(dead)} | {app.longest:.1f} s |"
    )
    return counts | {"full": app.full, "retries": app.retries}


@pytest.fixture(scope="module", params=[Redis, RabbitMQ], ids=["redis", "rabbitmq"])
def server(request: pytest.FixtureRequest) -> Iterator[Redis | RabbitMQ]:
    made = request.param()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def hall(server: Redis | RabbitMQ) -> Iterator[Hall]:
    made = Hall(server)
    try:
        yield made.start()
    finally:
        made.end()


def test_the_node_that_consumes_is_killed(hall: Hall) -> None:
    def kill(_: App) -> None:
        consumer = hall.servers[hall.consumer()]
        assert consumer.process
        consumer.process.kill()
        consumer.process.wait()

    counts = through(f"{hall.kind}: the node that consumes, kill -9", hall, kill)
    assert counts["told"] == 0 and counts["missing"] == 0


def test_the_node_that_consumes_stands_still(hall: Hall) -> None:
    heirs: list[int] = []

    def freeze(_: App) -> None:
        frozen = hall.consumer()
        hall.servers[frozen].signal(signal.SIGSTOP)
        until = time.monotonic() + 10  # The fault itself.
        before = hall.applied()
        while time.monotonic() < until:
            time.sleep(0.5)
            heirs.extend(nth for nth, count in enumerate(hall.applied()) if nth != frozen and count > before[nth])
        hall.servers[frozen].signal(signal.SIGCONT)

    counts = through(f"{hall.kind}: the node that consumes, SIGSTOP for 10 s", hall, freeze)
    assert counts["told"] == 0 and counts["missing"] == 0
    if hall.kind == "redis":
        assert heirs, "nobody took the lease over"
    together(hall.servers)


def test_the_queue_is_killed_and_comes_back(hall: Hall) -> None:
    def restart(_: App) -> None:
        hall.broker.kill()
        hall.broker.start()

    counts = through(f"{hall.kind}: kill -9 of it, and restart", hall, restart)
    assert counts["missing"] == 0 and counts["retries"] > 0, counts
    if hall.kind == "redis":
        assert counts["told"] == 0


def test_a_full_queue_refuses(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"max_backlog": FULL} if hall.kind == "redis" else {}
    if hall.kind == "rabbitmq":
        limit = {"max-length": FULL, "overflow": "reject-publish"}
        control(hall.broker, "set_policy", "full", rf"^{hall.prefix}\.commands\.", json.dumps(limit), "--apply-to", "queues")

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

    counts = through(f"{hall.kind}: full", hall, fill, **options)
    assert counts["missing"] == 0 and counts["told"] == 0, counts


def control(broker: RabbitMQ, *command: str) -> None:
    """What an operator says to RabbitMQ."""
    import subprocess

    from servers import rabbitmq_script

    tool = Path(rabbitmq_script()).with_name("rabbitmqctl")
    done = subprocess.run([str(tool), *command], env=broker.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_poison_holds_up_nobody(hall: Hall) -> None:
    rounds = 5

    def poison(app: App) -> None:
        with contextlib.closing(hall.door()) as door:
            for turn in range(rounds):
                for name, method, payload, _ in POISON:
                    door.put(PARTITION, f"{name}-{turn}", method, payload)
                since = app.acknowledged
                wait_for(lambda since=since: app.acknowledged > since + 20, "commands between the poison")

    counts = through(f"{hall.kind}: poison among them", hall, poison, letters=rounds * len(POISON))
    assert counts["told"] == 0 and counts["missing"] == 0
    reasons = {letter["id"]: letter["reason"] for letter in hall.backend().dead_letters(1000)}
    for name, _, _, words in POISON:
        assert all(words in reasons[f"{name}-{turn}"] for turn in range(rounds)), (name, reasons)
