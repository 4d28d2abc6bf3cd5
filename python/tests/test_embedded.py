"""The embedded backend and the real server: no queue is installed, and publications arrive."""

import json
import sys
from pathlib import Path

import pytest

from django_jackfield import brokers, disconnect, history, presence, publish, send, tokens

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path.append(str(TESTS))

serving = pytest.importorskip("serving", reason="the tests of the server are not here")

KEY = "a-key-of-at-least-32-bytes-for-the-embedded-queue"
CONFIG = f"""
[client.token]
hmac_secret_key = "{KEY}"

[client.subscribe_to_user_personal_channel]
enabled = true

[[channel.namespaces]]
name = "orders"
presence = true
history_size = 10
history_ttl = "5m"
allow_subscribe_for_client = true

[app_link]
driver = "embedded"
"""


@pytest.fixture(scope="module")
def server():
    if not serving.BINARY.exists():
        pytest.skip("there is no binary of the server: JACKFIELD_BIN")
    with serving.Server(CONFIG) as server:
        yield server


@pytest.fixture
def embedded(server, settings):
    settings.JACKFIELD = {
        "default": {
            "BACKEND": "django_jackfield.backends.embedded.EmbeddedBackend",
            "OPTIONS": {"port": server.embedded},
            "KEYS": [KEY],
            "TIMEOUT": 10.0,
        }
    }
    yield server
    brokers.close_all()


class Page:
    """A client of the JSON protocol, as a browser is one."""

    def __init__(self, server, user):
        self.socket = serving.RawWebSocket(server.port, "/connection/websocket")
        self.ids = 0
        self.pushes = []
        self.command(connect={"token": tokens.signed(tokens.claims(user, None, None, "default"))})

    def command(self, **request):
        self.ids += 1
        self.socket.text(json.dumps({"id": self.ids, **request}))
        while True:
            for message in self.messages():
                if message.get("id") == self.ids:
                    assert "error" not in message, message
                    return message

    def messages(self):
        opcode, payload = self.socket.read()
        assert opcode == 1, (opcode, payload)
        found = [json.loads(line) for line in payload.decode().splitlines()]
        for message in found:
            if message == {}:
                self.socket.text("{}")
            if "push" in message:
                self.pushes.append(message["push"])
        return found

    def push(self):
        while not self.pushes:
            self.messages()
        return self.pushes.pop(0)


@pytest.fixture
def page(embedded, django_user_model):
    page = Page(embedded, django_user_model(pk=42, username="ann"))
    yield page
    page.socket.close()


def test_a_publication_arrives_and_stays_in_the_history(page):
    page.command(subscribe={"channel": "orders:a"})
    publish("orders:a", {"event": "ordered", "data": {"n": 1}}, on_commit=False)
    push = page.push()
    assert push["channel"] == "orders:a"
    assert push["pub"]["data"] == {"event": "ordered", "data": {"n": 1}}
    kept = history("orders:a", limit=10)
    assert [one["data"]["data"]["n"] for one in kept["publications"]] == [1]


def test_who_is_there(page):
    page.command(subscribe={"channel": "orders:b"})
    assert [one["user"] for one in presence("orders:b").values()] == ["42"]


def test_a_message_for_a_user(page):
    send(user="42", data={"n": 2}, on_commit=False)
    assert page.push()["message"]["data"] == {"n": 2}


def test_a_user_is_sent_away(page):
    disconnect(user="42", code=4501, reason="signed out", on_commit=False)
    assert page.socket.closed() == (4501, "signed out")
