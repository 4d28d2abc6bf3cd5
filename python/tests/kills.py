"""What the kill tests have in common: a site of processes, and a subscribed client."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from servers import until

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "tests"))

import serving  # noqa: E402

KILLS = int(os.environ.get("JACKFIELD_TEST_KILLS", "5"))
CHANNEL = "ledger"


def dice(name):
    """The chance of a test, printed so that it can be had again."""
    seed = int(os.environ.get("JACKFIELD_TEST_SEED") or random.randrange(1 << 30))
    print(f"{name}: JACKFIELD_TEST_SEED={seed} JACKFIELD_TEST_KILLS={KILLS}")  # noqa: T201 - how to have it again
    return random.Random(seed)


class Client(threading.Thread):
    """A client that is subscribed the whole time, and the numbers that it got."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.numbers = []
        self.lines = serving.Lines(server.tcp_json)
        assert "connect" in self.lines.command(connect={})
        assert "subscribe" in self.lines.command(subscribe={"channel": CHANNEL})
        self.lines.socket.settimeout(None)
        self.start()

    def run(self):
        for line in self.lines.file:
            message = json.loads(line)
            if message == {}:
                self.lines.write("{}")
            elif "pub" in message.get("push", {}):
                self.numbers.append(message["push"]["pub"]["data"]["n"])

    def close(self):
        self.lines.socket.close()


class Site:
    """A database, a queue, the real server, and processes that may be killed."""

    def __init__(self, queue, outbox="on"):
        if not serving.BINARY.exists():
            pytest.skip(f"{serving.BINARY} is missing: the server is not built")
        self.queue = queue
        self.folder = Path(tempfile.mkdtemp(prefix="jackfield-kills-"))
        self.output = self.folder / "output"
        self.database = self.folder / "db.sqlite3"
        self.env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "project.settings_ledger",
            "PYTHONPATH": str(HERE),
            "TEST_BACKEND": queue.backend,
            "TEST_URL": queue.url,
            "TEST_PREFIX": queue.prefix,
            "TEST_DATABASE": str(self.database),
            "TEST_OUTBOX": outbox,
            "TEST_LOG": str(self.folder / "handled"),
        }
        url = queue.server.node_url if queue.kind == "redis" else queue.url
        self.server = serving.Server(
            dev=True,
            sets=(
                f"app_link.driver={queue.kind}",
                f"app_link.url={url}",
                f"app_link.prefix={queue.prefix}",
            ),
        )
        self.processes = []
        self.client = None

    def __enter__(self):
        self.server.start()
        self.client = Client(self.server)
        self.manage("migrate", "--run-syncdb", "-v0")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        if self.client:
            self.client.close()
        self.server.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def spawn(self, *arguments):
        """Starts a `manage.py ...`."""
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "django", *map(str, arguments)],
                env=self.env,
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)
        return process

    def manage(self, *arguments):
        """Runs a `manage.py ...` to its end."""
        code = self.spawn(*arguments).wait(120)
        assert code == 0, self.said()

    def said(self):
        return self.output.read_text()[-4000:] if self.output.exists() else ""

    def rows(self, query):
        """What is in the database."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def committed(self):
        """The numbers that were committed."""
        return [row[0] for row in self.rows("select number from ledger_entry order by id")]

    def waiting(self):
        return self.rows("select count(*) from jackfield_outbox")[0][0]

    def arrived(self, timeout=90.0):
        """Waits until each committed number is with the client and the outbox is empty."""
        try:
            until(
                lambda: not self.waiting() and set(self.committed()) <= set(self.client.numbers),
                timeout,
                what="all that was committed",
            )
        except AssertionError as error:
            committed, got = set(self.committed()), set(self.client.numbers)
            raise AssertionError(
                f"{error}: {len(committed - got)} of {len(committed)} missing, "
                f"{self.waiting()} wait\n{self.said()}"
            ) from error

    def judge(self, name, kills):
        """Everything that was committed arrived, nothing else, each once."""
        self.arrived()
        committed, got = self.committed(), list(self.client.numbers)
        print(  # noqa: T201 - the count that a run is for
            f"{name}: {kills} kills, {len(committed)} committed, {len(got)} arrived, "
            f"{len(got) - len(set(got))} twice, {len(set(got) - set(committed))} rolled back"
        )
        assert committed
        assert set(got) == set(committed)
        assert len(got) == len(set(got))
        return committed, got
