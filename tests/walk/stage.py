"""Everything a walk needs: a queue, a server, a Django site with its worker and gunicorn."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from clients import KEY, Client, LinesLink, Plain, WebSocketLink
from serving import Server, free_port, wait_for

SITE = Path(__file__).parent / "site"
PARTITIONS = 8
BACKENDS = {
    "embedded": "django_jackfield.backends.embedded.EmbeddedBackend",
    "redis": "django_jackfield.backends.redis.RedisBackend",
    "rabbitmq": "django_jackfield.backends.rabbitmq.RabbitMQBackend",
}
CONFIG = """
[client]
message_rate_limit = 0
{client}
[client.token]
hmac_secret_key = "{key}"

[[channel.namespaces]]
name = "room"
presence = true
history_size = 20000
history_ttl = "10m"
allow_subscribe_for_client = true
allow_publish_for_client = true
publish_to = "app"

[[channel.namespaces]]
name = "chat"
allow_subscribe_for_client = true
allow_publish_for_client = true
publish_to = "channel"

[rpc]
timeout = "10s"

[rpc.without_namespace]
proxy_enabled = true

[[raw]]
path = "/ws"
channel = "room:1"
publish_to = "app"

[[tcp]]
name = "json"
port = {{tcp_json}}
dialect = "centrifugo-json"

[[tcp]]
name = "raw"
port = {{tcp_raw}}
dialect = "raw"
channel = "room:1"
publish_to = "app"
data = "json"

[app_link]
driver = "{driver}"
url = "{url}"
prefix = "{prefix}"
partitions = {partitions}

[shutdown]
timeout = "3s"
"""


class Program:
    """A process of ours with its output in a file."""

    def __init__(self, folder: Path, name: str, command: list[str], env: dict[str, str]):
        self.path, self.command, self.env = folder / f"{name}.log", command, env
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Program:
        with self.path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.env, cwd=SITE, stdout=log, stderr=log, start_new_session=True
            )
        return self

    @property
    def output(self) -> str:
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def wait(self, patience: float) -> str:
        """Waits for its end, which must be a good one, and gives its output."""
        assert self.process
        code = self.process.wait(patience)
        assert code == 0, self.output
        return self.output


class Stage:
    """One server and one site on a queue of their own name."""

    def __init__(self, kind: str, queue: Any = None, client: str = ""):
        self.kind, self.queue = kind, queue
        self.prefix = f"w{uuid.uuid4().hex[:8]}"
        self.holder = tempfile.TemporaryDirectory(prefix="jackfield-walk-")
        self.folder = Path(self.holder.name)
        self.database = self.folder / "db.sqlite3"
        url = queue.url if queue else ""
        config = CONFIG.format(
            client=client, key=KEY, driver=kind, url=getattr(queue, "node_url", url), prefix=self.prefix, partitions=PARTITIONS
        )
        self.server = Server(config)
        options: dict[str, Any] = {"url": url} if queue else {"port": self.server.embedded}
        setting = {
            "BACKEND": BACKENDS[kind],
            "OPTIONS": options,
            "PREFIX": self.prefix,
            "PARTITIONS": PARTITIONS,
            "KEYS": [KEY],
            "BREAKER": [3, 0.2],
        }
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")} | {
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "WALK_DATABASE": str(self.database),
            "WALK_JACKFIELD": json.dumps(setting),
            "PYTHONPATH": str(SITE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.programs: list[Program] = []
        self.clients: list[Plain] = []
        self.web_port = 0

    def __enter__(self) -> Stage:
        try:
            self.server.start()
            self.django("migrate", "--run-syncdb", "-v0")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for client in self.clients:
                client.close()
            for program in self.programs:
                program.end()
        finally:
            if self.server.process:
                self.server.__exit__()
            self.holder.cleanup()

    # The site.

    def program(self, name: str, *command: str) -> Program:
        program = Program(self.folder, name, [sys.executable, *command], self.env)
        self.programs.append(program)
        return program.start()

    def django(self, *arguments: str) -> str:
        """Runs a command of manage.py to its end; what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, env=self.env, cwd=SITE, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def worker(self) -> Program:
        return self.program("worker", "manage.py", "jackfield", "worker")

    def gunicorn(self) -> Program:
        self.web_port = free_port()
        at = f"127.0.0.1:{self.web_port}"
        program = self.program("gunicorn", "-m", "gunicorn", "project.wsgi", "-b", at, "-w", "2")
        wait_for(lambda: "Booting worker" in program.output, "gunicorn")
        return program

    def post(self, path: str, body: bytes) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.web_port}{path}", body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def view(self, room: int, **form: str) -> None:
        """The view that stores and publishes."""
        assert self.post(f"/say/{room}", urllib.parse.urlencode(form).encode())["ok"]

    def call(self, name: str, **arguments: Any) -> Any:
        """A function of django_jackfield, called in a process of gunicorn."""
        answer = self.post(f"/call/{name}", json.dumps(arguments).encode())
        return answer.get("result", answer)

    def ask(self, name: str, **arguments: Any) -> Any:
        """The same; None where nobody answers in time."""
        try:
            return self.call(name, **arguments)
        except urllib.error.HTTPError:
            return None

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Reads the database of the site."""
        base = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            return base.execute(query, values).fetchall()
        finally:
            base.close()

    def notes(self) -> int:
        return int(self.rows("select count(*) from rooms_note")[0][0])

    def doubles(self) -> int:
        return int(self.rows("select coalesce(sum(times - 1), 0) from rooms_note")[0][0])

    def dead(self) -> list[dict[str, Any]]:
        """The dead letters, as the command of the package tells them."""
        return [json.loads(line) for line in self.django("jackfield", "dead", "list").splitlines() if line]

    # Clients.

    def kept(self, client: Any) -> Any:
        self.clients.append(client)
        return client

    def websocket(self, user: str = "", **hello: Any) -> Client:
        return self.kept(Client(WebSocketLink(self.server.port, "/connection/websocket"), user, **hello))

    def lines(self, user: str = "", **hello: Any) -> Client:
        return self.kept(Client(LinesLink(self.server.tcp_json), user, **hello))

    def raw_websocket(self) -> Plain:
        return self.kept(Plain(WebSocketLink(self.server.port, "/ws")))

    def raw_lines(self) -> Plain:
        return self.kept(Plain(LinesLink(self.server.tcp_raw)))

    def crowd(self, count: int) -> list[Client]:
        """Clients of both transports."""
        return [(self.websocket if n % 2 else self.lines)(f"user-{n}") for n in range(count)]

    def kill_server(self) -> None:
        """kill -9; `server.start()` starts it again on the same ports."""
        assert self.server.process
        self.server.process.kill()
        self.server.process.wait(10)
        self.server.log.close()


def plain_text(log: str) -> str:
    """A log without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", log)
