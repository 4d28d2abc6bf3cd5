# ruff: noqa: DJ008
"""What the worker costs: handlers with one insert each, beside the same inserts in a bare loop.

    python bench/worker.py [--events 2000] [--rounds 3] [--queue redis|rabbitmq] [--threads 1,8]

A private queue on loopback, SQLite in a file (WAL). The events lie in the queue before the worker
starts; the time is that from the first insert to the last, in turns in one run. Needs redis-server
or rabbitmq-server, and what the tests need.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

BACKENDS = {
    "redis": "django_jackfield.backends.redis.RedisBackend",
    "rabbitmq": "django_jackfield.backends.rabbitmq.RabbitMQBackend",
}


def configure(said):
    """Django with one table; `said` is what the parent handed over."""
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="bench",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_jackfield"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": said["database"],
                "CONN_MAX_AGE": said["max_age"],
                "OPTIONS": {
                    "timeout": 60,
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
                },
            }
        },
        JACKFIELD={
            "default": {
                "BACKEND": BACKENDS[said["queue"]],
                "OPTIONS": {"url": said["url"]},
                "PREFIX": said["prefix"],
                "KEYS": ["bench"],
            }
        },
    )
    django.setup()

    from django.db import connection, models

    class Note(models.Model):
        channel = models.CharField(max_length=100)
        text = models.CharField(max_length=2000)

        class Meta:
            app_label = "bench"

    with connection.schema_editor() as editor:
        if Note._meta.db_table not in connection.introspection.table_names():
            editor.create_model(Note)
    connection.close()
    return Note


class Stopwatch:
    """Time and CPU of this process from the first insert to the last."""

    def __init__(self, count):
        self.count = count
        self.lock = threading.Lock()
        self.done = threading.Event()
        self.begun = 0
        self.ended = 0

    def begin(self):
        with self.lock:
            if not self.begun:
                self.start = time.perf_counter(), time.process_time()
            self.begun += 1

    def end(self):
        with self.lock:
            self.ended += 1
            if self.ended == self.count:
                self.stop = time.perf_counter(), time.process_time()
                self.done.set()

    def figures(self):
        return {
            "per_second": self.count / (self.stop[0] - self.start[0]),
            "cpu_us": (self.stop[1] - self.start[1]) / self.count * 1e6,
        }


def bare(said):
    """The inserts alone, by so many threads."""
    note = configure(said)
    watch = Stopwatch(said["events"])
    numbers = iter(range(said["events"]))

    def insert():
        from django.db import connection

        for n in numbers:
            watch.begin()
            note.objects.create(channel=f"room:{n % 7}", text="hello")
            watch.end()
        connection.close()

    threads = [threading.Thread(target=insert) for _ in range(said["threads"])]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return watch.figures()


def worker(said):
    """The inserts in handlers."""
    note = configure(said)
    from django_jackfield import Channel, brokers, on
    from django_jackfield.registry import registry
    from django_jackfield.worker.worker import Worker

    watch = Stopwatch(said["events"])

    class Room(Channel):
        pattern = "room:<int:pk>"

        @on("say")
        def say(self, ctx, data, pk):
            watch.begin()
            note.objects.create(channel=ctx.channel, text="hello")
            watch.end()

    one = Worker(brokers["default"], registry, threads=said["threads"], handler_timeout=60)
    thread = threading.Thread(target=one.run)
    thread.start()
    if not watch.done.wait(300):
        raise SystemExit(f"only {watch.ended} of {said['events']} events came: {one.counts}")
    one.stop()
    thread.join()
    return watch.figures()


def start_queue(kind):
    from servers import RabbitMQ, Redis, until

    if kind == "rabbitmq":
        server = RabbitMQ()
        server.start()
        return server

    class QuickRedis(Redis):
        """Writes its file once a second, as most do."""

        def start(self):
            config = self.folder / "redis.conf"
            config.write_text(
                f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nsave ''\n"
                "appendonly yes\nappendfsync everysec\n"
            )
            self.url = self.admin_url
            self.spawn([shutil.which("redis-server"), str(config)])
            until(self.started, what="redis")

    server = QuickRedis()
    server.start()
    return server


def fill(server, said):
    """Puts the events of 40 connections into the queue."""

    class Queue:
        kind, prefix, url = said["queue"], said["prefix"], said["url"]

    Queue.server = None
    from workers import say, server_side

    side = server_side(Queue)
    events = [say(f"client-{n % 40}", n // 40 + 1) for n in range(said["events"])]
    for start in range(0, len(events), 500):
        side.write(*events[start : start + 500])
    side.close()


def measure(server, options, way, threads, number):
    folder = Path(tempfile.mkdtemp(prefix="jackfield-bench-"))
    said = {
        "way": way,
        "queue": options.queue,
        "url": server.url,
        "prefix": f"b{number}",
        "threads": threads,
        "events": options.events,
        "database": str(folder / "db.sqlite3"),
        "max_age": options.max_age,
    }
    if way == "worker":
        fill(server, said)
    run = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(said)], stdout=subprocess.PIPE, check=True
    )
    shutil.rmtree(folder, ignore_errors=True)
    return json.loads(run.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queue", choices=sorted(BACKENDS), default="redis")
    parser.add_argument("--threads", default="1,8")
    parser.add_argument("--max-age", type=int, default=0, help="CONN_MAX_AGE (0, as in Django)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        said = json.loads(options.child)
        ways = {"bare": bare, "worker": worker}
        print(json.dumps(ways[said["way"]](said)))
        return
    server = start_queue(options.queue)
    numbers = itertools.count()
    try:
        print(f"{options.queue}: {options.events} events, {options.rounds} rounds, events/s (CPU)")
        for threads in map(int, options.threads.split(",")):
            found = {"bare": [], "worker": []}
            for _ in range(options.rounds):
                for way, figures in found.items():
                    figures.append(measure(server, options, way, threads, next(numbers)))
            middle = {
                way: {name: statistics.median(one[name] for one in figures) for name in figures[0]}
                for way, figures in found.items()
            }
            b, w = middle["bare"], middle["worker"]
            print(
                f"{threads} threads: bare {b['per_second']:,.0f} ({b['cpu_us']:.0f} us), "
                f"worker {w['per_second']:,.0f} ({w['cpu_us']:.0f} us), "
                f"ratio {w['per_second'] / b['per_second']:.2f}",
                flush=True,
            )
    finally:
        server.remove()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(HERE.parent / "tests"))
    main()
