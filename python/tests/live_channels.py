"""The real server with the file of a project, a worker in a thread, and clients."""

import json
import os
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from django_jackfield import brokers, token
from django_jackfield.project_file import project_file
from django_jackfield.worker.worker import Worker
from servers import Server, free_port, until

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("JACKFIELD_BIN") or ROOT / "target" / "release" / "jackfield")
PATIENCE = 30

needs_server = pytest.mark.skipif(
    not BINARY.exists(), reason=f"no server: {BINARY} is missing, set JACKFIELD_BIN"
)


class Jackfield(Server):
    """`jackfield serve` with a file."""

    def __init__(self, text, queue_port):
        super().__init__()
        self.port, self.queue_port = free_port(), queue_port
        (self.folder / "jackfield.toml").write_text(text)

    def start(self):
        sets = {
            "http_server.address": "127.0.0.1",
            "http_server.port": self.port,
            "http_server.internal_port": free_port(),
        }
        pairs = [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
        self.spawn([str(BINARY), "serve", "-c", "jackfield.toml", "--workers", "1", *pairs])
        until(self.started, what="jackfield")

    def answers(self):
        import socket

        for port in (self.port, self.queue_port):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                return False
        return True


class Client:
    """A page: commands of the JSON protocol, and what is pushed."""

    def __init__(self, url, user=None):
        self.closing = ExitStack()
        self.socket = self.closing.enter_context(connect(url, open_timeout=PATIENCE))
        self.ids = 0
        self.pushes = []
        pass_ = {} if user is None else {"token": token(user)}
        self.me = self.ask(connect=pass_)["connect"]["client"]

    def ask(self, **command):
        """One command; its reply. A temporary error is that of a worker that is not ready yet."""
        return until(lambda: self._reply(command), PATIENCE, what=f"a final reply to {command}")

    def _reply(self, command):
        self.ids += 1
        self.socket.send(json.dumps({"id": self.ids, **command}))
        while True:
            for reply in self._read():
                if reply.get("id") == self.ids:
                    return None if reply.get("error", {}).get("temporary") else reply

    def subscribe(self, channel, **more):
        return self.ask(subscribe={"channel": channel, **more})

    def publish(self, channel, event, data):
        return self.ask(publish={"channel": channel, "data": {"event": event, "data": data}})

    def heard(self, channel):
        """The next publication of a channel."""
        while True:
            for push in self.pushes:
                if push["channel"] == channel and "pub" in push:
                    self.pushes.remove(push)
                    return push["pub"]
            self._read()

    def _read(self):
        replies = [json.loads(line) for line in self.socket.recv(PATIENCE).splitlines()]
        for reply in replies:
            if not reply:
                self.socket.send("{}")
            if "push" in reply:
                self.pushes.append(reply["push"])
        return replies

    def close(self):
        self.closing.close()


def error(reply):
    return reply.get("error", {}).get("code")


@contextmanager
def serving(registry, settings):
    """Starts server and worker for what is declared; yields a function that makes clients."""
    port = free_port()
    settings.JACKFIELD = {
        "default": {
            "BACKEND": "django_jackfield.backends.embedded.EmbeddedBackend",
            "OPTIONS": {"port": port},
            "KEYS": ["a-key-of-32-bytes-for-the-tests-"],
            "TIMEOUT": 10.0,
        }
    }
    server = Jackfield(project_file(registry).text(keys=True), port)
    clients = []
    worker = thread = None

    def client(user=None):
        one = Client(f"ws://127.0.0.1:{server.port}/connection/websocket", user)
        clients.append(one)
        return one

    try:
        server.start()
        worker = Worker(brokers["default"], registry, threads=2, grace_seconds=5.0)
        thread = threading.Thread(target=worker.run)
        thread.start()
        yield client
    finally:
        for one in clients:
            one.close()
        if thread is not None:
            worker.stop()
            thread.join(PATIENCE)
        server.remove()
        brokers.close_all()
