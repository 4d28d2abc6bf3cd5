"""What publish() costs beside what the driver alone costs, in one process, by turns.

    python bench/publish.py [--rounds 15] [--calls 100] [--only redis|rabbitmq]

For each queue: a bare call (redis-py's XADD from its pool; pika's basic_publish with confirms),
publish() as a view calls it in autocommit, publish() in a transaction (with the bare call in an
empty transaction to compare), and publish() in a transaction with the outbox on. A round makes
`--calls` of each; the rounds take turns and each shifts who is first; the figures are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests")]

import django  # noqa: E402
from django.conf import settings  # noqa: E402

DATA = {"event": "message", "data": {"id": 123456, "text": "hello, this is a line of a chat"}}
CHANNEL = "room:7"


def configure(folder: str) -> None:
    """A project with a database in a file, as small as can be."""
    settings.configure(
        SECRET_KEY="bench",
        DEBUG=False,
        USE_TZ=True,
        INSTALLED_APPS=["django_jackfield", "django_jackfield.outbox"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": f"{folder}/db.sqlite3",
                "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL"},
            }
        },
        JACKFIELD={},
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def bare_redis(url: str, key: str) -> Callable[[], Any]:
    """XADD of the fields that a command has."""
    import redis

    from django_jackfield.serialise import to_json

    client = redis.Redis.from_url(url, protocol=2)
    payload = to_json({"channel": CHANNEL, "data": DATA})
    fields: Any = {"v": "1", "id": str(uuid.uuid4()), "method": "publish", "payload": payload}
    return lambda: client.xadd(key, fields)


def bare_rabbitmq(url: str, exchange: str, partition: str) -> Callable[[], Any]:
    """basic_publish, mandatory and persistent, in confirm mode."""
    import pika

    from django_jackfield.serialise import to_json

    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.confirm_delivery()
    payload = to_json({"channel": CHANNEL, "data": DATA})
    properties = pika.BasicProperties(message_id=str(uuid.uuid4()), type="publish", delivery_mode=2)
    return lambda: channel.basic_publish(exchange, partition, payload, properties, mandatory=True)


def in_transaction(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call in a transaction that does one insert, as a view's."""
    from django.db import connection, transaction

    def wrapped() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO business (n) VALUES (1)")
            call()

    return wrapped


def measure(calls: dict[str, Callable[[], Any]], rounds: int, count: int) -> dict[str, list[float]]:
    """Microseconds of a call, a list of one per round."""
    names = list(calls)
    found: dict[str, list[float]] = {name: [] for name in names}
    for call in calls.values():
        for _ in range(50):
            call()
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            call = calls[name]
            start = time.perf_counter()
            for _ in range(count):
                call()
            found[name].append((time.perf_counter() - start) / count * 1e6)
    return found


def bench(kind: str, server: Any, rounds: int, count: int) -> None:
    """One queue, as a table."""
    from django.conf import settings as live

    from django_jackfield import brokers, publish
    from django_jackfield.command import publication

    prefix = f"b{uuid.uuid4().hex[:8]}"
    url = getattr(server, "admin_url", server.url)
    backend = {"redis": "redis.RedisBackend", "rabbitmq": "rabbitmq.RabbitMQBackend"}[kind]
    live.JACKFIELD = {
        "default": {
            "BACKEND": f"django_jackfield.backends.{backend}",
            "OPTIONS": {"url": url},
            "PREFIX": prefix,
            "KEYS": ["k"],
        }
    }
    brokers.reset()
    publish(CHANNEL, DATA, on_commit=False)
    partition = publication(CHANNEL, DATA).partition(8)
    if kind == "redis":
        bare = bare_redis(url, f"{{{prefix}:{partition}}}:commands")
    else:
        bare = bare_rabbitmq(url, f"{prefix}.commands", str(partition))
    calls = {
        "bare": bare,
        "publish()": lambda: publish(CHANNEL, DATA),
        "bare, in a transaction": in_transaction(bare),
        "publish(), in a transaction": in_transaction(lambda: publish(CHANNEL, DATA)),
        "publish(), with the outbox": in_transaction(lambda: publish(CHANNEL, DATA, outbox=True)),
    }
    found = measure(calls, rounds, count)
    middle = {name: statistics.median(times) for name, times in found.items()}
    print(f"\n| {kind} | median us | fastest round | ratio |\n|---|--:|--:|--:|")
    for name, times in found.items():
        base = "bare" if name in ("bare", "publish()") else "bare, in a transaction"
        # Of the ratios of each round, so that a slow moment counts on both sides.
        ratio = statistics.median(a / b for a, b in zip(times, found[base], strict=True))
        print(f"| {name} | {middle[name]:.0f} | {min(times):.0f} | {ratio:.2f} |")


def main() -> None:
    """Starts private servers, or takes those of the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--only", choices=("redis", "rabbitmq"))
    parser.add_argument("--fsync", default="everysec", help="appendfsync of the private redis")
    options = parser.parse_args()
    from servers import RabbitMQ, Redis

    with tempfile.TemporaryDirectory() as folder:
        configure(folder)
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE business (id INTEGER PRIMARY KEY, n INTEGER)")
        print(
            f"Python {sys.version.split()[0]}, Django {django.__version__}, load {os.getloadavg()[0]:.1f}"
        )
        for kind, server in (("redis", Redis()), ("rabbitmq", RabbitMQ())):
            if options.only in (None, kind):
                try:
                    server.start()
                    if kind == "redis":
                        import redis

                        redis.Redis.from_url(server.admin_url).config_set(
                            "appendfsync", options.fsync
                        )
                    bench(kind, server, options.rounds, options.calls)
                finally:
                    server.remove()


if __name__ == "__main__":
    main()
