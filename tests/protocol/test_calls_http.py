"""Calls over HTTP, from a client's command to a view of an application and back."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from serving import Server, wait_for
from speakers import JsonSocket
from standardwebhooks import Webhook, WebhookVerificationError

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, no").decode()

CONFIG = """
[client.proxy.connect]
enabled = true
endpoint = "SITE/connect"
secret = "SECRET"
http_headers = ["X-Real-IP"]

[rpc.proxy]
endpoint = "SITE/rpc"
timeout = "20s"
secret = "SECRET"
include_connection_meta = true

[rpc.proxy.http.static_headers]
Authorization = "Bearer hunter2"

[[rpc.proxy.http.status_to_code_transforms]]
status_code = 404
to_error = { code = 404, message = "no such room" }

[[rpc.proxy.http.status_to_code_transforms]]
status_code = 403
to_disconnect = { code = 4403, reason = "banned" }

[rpc.without_namespace]
proxy_enabled = true

[[rpc.namespaces]]
name = "slow"
proxy_enabled = true
proxy_name = "slow"

[[proxies]]
name = "slow"
endpoint = "SITE/slow"
timeout = "20s"
"""

ANSWERS = {
    "sum": (200, {"result": {"data": {"sum": 3}}}),
    "binary": (200, {"result": {"b64data": "AAE="}}),
    "refused": (200, {"error": {"code": 409, "message": "room is full", "temporary": True}}),
    "missing": (404, None),
    "banned": (403, None),
    "broken": (500, None),
    "spoilt": (200, {"result": {"dta": 1}}),
    "once": (200, {"result": {"data": 7, "cache_for": 600}}),
}


class Site(ThreadingHTTPServer):
    """An application that keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), View)
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.go = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def of(self, path: str) -> list[dict]:
        return [json.loads(body) for asked, _, body in self.asked if asked == path]


class View(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, dict(self.headers), body))
        status, answer = self.answer(json.loads(body))
        text = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def answer(self, asked: dict) -> tuple[int, dict | None]:
        if self.path == "/connect":
            if asked.get("data") == {"name": "nobody"}:
                return 200, {"disconnect": {"code": 4401, "reason": "who are you?"}}
            return 200, {"result": {"user": "42", "data": {"hello": 1}, "meta": {"plan": "pro"}}}
        if self.path == "/slow":
            self.server.go.wait(60)
            return 200, {"result": {"data": "late"}}
        return ANSWERS[asked["method"]]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    yield site
    site.go.set()
    site.shutdown()
    thread.join()
    site.server_close()


@pytest.fixture(scope="module")
def server(site: Site, workers: int) -> Iterator[Server]:
    with Server(CONFIG.replace("SITE", site.url).replace("SECRET", SECRET), workers=workers) as server:
        yield server


def joined(server: Server) -> JsonSocket:
    client = JsonSocket(server.port)
    assert client.command(connect={"data": {"name": "ann"}})["connect"]["data"] == {"hello": 1}
    return client


def test_a_connect_is_asked_and_signed(server: Server, site: Site) -> None:
    joined(server).close()
    path, headers, body = site.asked[-1]
    assert path == "/connect"
    assert Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", {name.lower(): value for name, value in headers.items()})
    asked = json.loads(body)
    assert asked.pop("client")
    assert asked == {"transport": "websocket", "protocol": "json", "encoding": "json", "data": {"name": "ann"}}
    assert headers["x-real-ip"] == "127.0.0.1"


def test_a_connect_may_be_refused(server: Server) -> None:
    client = JsonSocket(server.port)
    client.ask(connect={"data": {"name": "nobody"}})
    assert client.closed() == (4401, "who are you?")
    client.close()


def test_an_rpc_says_who_asks_what(server: Server, site: Site) -> None:
    client = joined(server)
    assert client.command(rpc={"method": "sum", "data": [1, 2]})["rpc"] == {"data": {"sum": 3}}
    _, headers, body = site.asked[-1]
    Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    assert headers["authorization"] == "Bearer hunter2"
    asked = json.loads(body)
    wanted = {"method": "sum", "data": [1, 2], "user": "42", "meta": {"plan": "pro"}}
    assert {name: asked[name] for name in wanted} == wanted
    client.close()


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("refused", {"code": 409, "message": "room is full", "temporary": True}),
        ("missing", {"code": 404, "message": "no such room"}),
        ("broken", {"code": 100, "message": "internal server error", "temporary": True}),
        ("spoilt", {"code": 100, "message": "internal server error", "temporary": True}),
        ("nowhere:x", {"code": 104, "message": "method not found"}),
    ],
)
def test_errors(server: Server, method: str, error: dict) -> None:
    client = joined(server)
    assert client.command(rpc={"method": method})["error"] == error
    client.close()


def test_a_status_may_be_an_end(server: Server) -> None:
    client = joined(server)
    client.ask(rpc={"method": "banned"})
    assert client.closed() == (4403, "banned")
    client.close()


def test_who_hangs_holds_nobody(server: Server, site: Site) -> None:
    one, other = joined(server), joined(server)
    before = len(site.of("/slow"))
    slow = one.ask(rpc={"method": "slow:x"})
    wait_for(lambda: len(site.of("/slow")) > before, "the slow call")
    for client in (other, one):
        assert client.command(rpc={"method": "sum"})["rpc"] == {"data": {"sum": 3}}
    site.go.set()
    assert one.reply(slow)["rpc"] == {"data": "late"}
    site.go.clear()
    one.close()
    other.close()


def test_an_answer_is_remembered_for_all_of_a_users_connections(server: Server, site: Site) -> None:
    one, other = joined(server), joined(server)
    before = [asked["method"] for asked in site.of("/rpc")].count("once")
    for client in (one, other, one):
        assert client.command(rpc={"method": "once"})["rpc"] == {"data": 7}
    assert [asked["method"] for asked in site.of("/rpc")].count("once") <= before + 1
    one.close()
    other.close()


def test_the_log_holds_no_secret(server: Server) -> None:
    assert "hunter2" not in server.logged()
    assert SECRET not in server.logged()
