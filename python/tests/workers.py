"""A worker subprocess and the server's side of the event queue."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
import zlib
from contextlib import suppress
from pathlib import Path

from servers import until

HERE = Path(__file__).parent
EXAMPLES = json.loads((HERE.parents[1] / "spec" / "examples" / "events.json").read_text())
BY_NAME = {one["name"]: one["fields"] for one in EXAMPLES}


def event(client="c1", seq=1, **more):
    """The fields of a message through a channel, as the server writes them."""
    fields = dict(BY_NAME["message through a channel"])
    fields |= {"id": str(uuid.uuid4()), "client": client, "seq": str(seq)}
    return fields | {name: str(value) for name, value in more.items()}


def say(client, seq, name="say", **data):
    return event(client, seq, data=json.dumps({"event": name, "data": data or {"n": seq}}))


def partition_of(fields):
    return zlib.crc32(fields.get("client", "").encode()) % 8


class RedisServerSide:
    """XADDs events and reads answers."""

    def __init__(self, queue):
        import redis

        self.prefix = queue.prefix
        url = queue.server.admin_url if queue.server else queue.url
        self.client = redis.Redis.from_url(url, protocol=2)
        self.reply_to = f"{{{self.prefix}}}:answers:n1"

    def write(self, *events):
        pipe = self.client.pipeline(transaction=False)
        for fields in events:
            way_back = {"reply_to": self.reply_to} if "reply_to" in fields else {}
            pipe.xadd(f"{{{self.prefix}:{partition_of(fields)}}}:events", fields | way_back)
        pipe.execute()

    def answer(self):
        found = self.client.blpop([self.reply_to], timeout=20)
        return json.loads(found[1])

    def backlog(self):
        return sum(self.client.xlen(f"{{{self.prefix}:{p}}}:events") for p in range(8))

    def dead(self, count):
        def letters():
            found = [
                {k.decode(): v.decode() for k, v in fields.items()}
                for p in range(8)
                for _, fields in self.client.xrange(f"{{{self.prefix}:{p}}}:dead:app")
            ]
            return found if len(found) >= count else None

        return until(letters, what=f"{count} dead letters")

    def close(self):
        self.client.close()


def declared(queue):
    """A connection to RabbitMQ and a channel of it, when the queues are there."""
    import pika
    import pika.exceptions

    from django_jackfield.backends.amqp import Topology

    topology = Topology(queue.prefix, 8)

    def one():
        connection = pika.BlockingConnection(pika.URLParameters(queue.url))
        channel = connection.channel()
        try:
            topology.declare(channel)
        except pika.exceptions.ConnectionClosedByBroker as error:
            # 541: on a slow disk a quorum queue may find no leader in the time that it has.
            if error.reply_code != 541:
                raise
            return None
        return topology, connection, channel

    return until(one, what="the queues in RabbitMQ")


class RabbitServerSide:
    """Publishes events with direct reply-to and consumes answers."""

    def __init__(self, queue):
        self.prefix = queue.prefix
        self.topology, self.connection, self.channel = declared(queue)
        self.channel.confirm_delivery()
        self.answers = []
        self.channel.basic_consume("amq.rabbitmq.reply-to", self._answered, auto_ack=True)

    def _answered(self, channel, method, properties, body):
        answer = json.loads(body)
        assert properties.correlation_id == answer["id"]
        self.answers.append(answer)

    def write(self, *events):
        import pika
        import pika.exceptions

        for fields in events:
            headers = {
                name: value
                for name, value in fields.items()
                if name not in ("id", "type", "data", "reply_to") and value
            }
            properties = pika.BasicProperties(
                message_id=fields["id"], type=fields["type"], headers=headers, delivery_mode=2
            )
            if "reply_to" in fields:
                properties.reply_to = "amq.rabbitmq.reply-to"
                properties.correlation_id = fields["id"]
            body, partition = fields["data"].encode(), str(partition_of(fields))

            def accepted(partition=partition, body=body, properties=properties):
                try:
                    self.channel.basic_publish(
                        self.topology.events, partition, body, properties, mandatory=True
                    )
                except pika.exceptions.NackError:
                    # A queue that was just started again may have no leader yet; a later
                    # try finds one.
                    return False
                return True

            until(accepted, what="a queue that takes the event")

    def answer(self):
        def one():
            self.connection.process_data_events(0.1)
            return self.answers

        until(one, what="an answer")
        return self.answers.pop(0)

    def backlog(self):
        """Quorum queues count ready messages only: what is delivered shows in the log file."""
        return sum(self.waiting(f"{self.prefix}.events.{p}") for p in range(8))

    def waiting(self, name):
        return self.channel.queue_declare(name, passive=True).method.message_count

    def dead(self, count):
        def letters():
            found = []
            while True:
                method, properties, body = self.channel.basic_get(self.topology.dead)
                if method is None:
                    break
                found.append(
                    properties.headers
                    | {"id": properties.message_id, "type": properties.type, "data": body.decode()}
                )
            self.channel.basic_recover(requeue=True)
            return found if len(found) >= count else None

        return until(letters, what=f"{count} dead letters")

    def close(self):
        if self.connection.is_open:
            self.connection.close()


def server_side(queue):
    return {"redis": RedisServerSide, "rabbitmq": RabbitServerSide}[queue.kind](queue)


class WorkerProcess:
    """`manage.py jackfield worker`, and the lines that its handlers wrote."""

    def __init__(self, queue, *arguments):
        self.folder = Path(tempfile.mkdtemp(prefix="jackfield-worker-"))
        self.log = self.folder / "handled.jsonl"
        self.output = self.folder / "output"
        self.command = [sys.executable, "-m", "django", "jackfield", "worker", *arguments]
        self.env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "PYTHONPATH": str(HERE),
            "TEST_BACKEND": queue.backend,
            "TEST_URL": queue.url,
            "TEST_PREFIX": queue.prefix,
            "TEST_LOG": str(self.log),
            "TEST_DATABASE": str(self.folder / "db.sqlite3"),
            "PYTHONWARNINGS": "error::DeprecationWarning",
        }
        self.process = None

    def start(self):
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.env,
                stdout=output,
                stderr=output,
            )
        return self

    def said(self, text):
        """Waits for a line of output."""

        def found():
            assert self.process.poll() is None or text in self.output.read_text(), (
                self.output.read_text()
            )
            return text in self.output.read_text()

        until(found, what=f"{text!r} in the output of the worker")

    def handled(self):
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for(self, ids, timeout=90.0):
        """Waits until each of these events was handled."""
        ids = set(ids)

        def complete():
            seen = self.handled()
            return seen if ids <= {one["id"] for one in seen} else None

        try:
            return until(complete, timeout, what=f"{len(ids)} events")
        except AssertionError as error:
            missing = ids - {one["id"] for one in self.handled()}
            text = self.output.read_text()[-3000:]
            raise AssertionError(f"{error}: {len(missing)} missing\n{text}") from error

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def end(self):
        """Whatever happened, nothing is left behind."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Lives(WorkerProcess):
    """A worker that is killed by what it handles, and lives again at once, so many times."""

    def __init__(self, queue, most, *arguments):
        super().__init__(queue)
        self.command = [sys.executable, str(HERE / "lives.py"), str(most), *arguments]

    def pids(self):
        """The process ids of all lives."""
        return [int(one) for one in self.log.with_suffix(".pids").read_text().split()]

    def end(self):
        self.kill()
        with suppress(ProcessLookupError):
            os.kill(self.pids()[-1], signal.SIGKILL)
        super().end()


def assert_in_order(handled):
    """First times of each connection come in the order of seq."""
    last, seen = {}, set()
    for one in handled:
        if one["id"] not in seen:
            seen.add(one["id"])
            assert one["seq"] > last.get(one["client"], 0), one
            last[one["client"]] = one["seq"]
