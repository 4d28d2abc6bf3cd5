"""What the doctor can see as a page does: the public URL, the key, the clock, a round trip."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from django_jackfield.ask import ask_client
from django_jackfield.doctor.finding import Finding, note, ok, problem
from django_jackfield.doctor.websocket import Closed, HandshakeRefused, WebSocket
from django_jackfield.errors import JackfieldError
from django_jackfield.tokens import signed

# Not below "jackfield.", which is the server's own: it would answer by itself.
METHOD = "django_jackfield.doctor"
TOKEN_SECONDS = 60
ANSWER_SECONDS = 3.0
SKEW_SECONDS = 2.0
NO_METHOD, NOT_AVAILABLE, EXPIRED = 104, 108, 109
INVALID_TOKEN = 3500


def internal(url: str | None, assumed: str | None) -> Iterator[Finding]:
    """Whether the internal port answers `/health`; where nobody named it, its silence is a note."""
    subject = "internal port"
    address = url or assumed
    if address is None:
        yield note(subject, "not looked at", "--internal-url http://127.0.0.1:8401 names it")
        return
    parts = urlsplit(address)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=3)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        text = f"{address} does not answer: {error}"
        if url is None:
            yield note(subject, text, "--internal-url names another one")
        else:
            yield problem(subject, text, "start jackfield; see [http_server] internal_port")
        return
    finally:
        connection.close()
    if status == 200:
        yield ok(subject, f"{address}/health says that the server is well")
    else:
        yield problem(
            subject,
            f"{address}/health answers {status}",
            "see the log of jackfield for what it says",
        )


def pages() -> list[str]:
    """The origins of this site, as far as the settings tell."""
    found = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if "*" not in origin]
    found += [
        f"https://{host}"
        for host in settings.ALLOWED_HOSTS
        if not host.startswith(".") and "*" not in host
    ]
    if settings.DEBUG:
        found = ["http://127.0.0.1:8000", "http://localhost:8000"]
    return list(dict.fromkeys(found))


def public(url: str | None, origins: Sequence[str], via: str) -> Iterator[Finding]:
    """Everything that goes through PUBLIC_URL."""
    if not url:
        yield problem(
            "public URL", "PUBLIC_URL is not set", "set it to wss://.../connection/websocket"
        )
        return
    try:
        with WebSocket(url) as socket:
            yield ok("public URL", f"{url} takes WebSocket connections")
            yield from _with_token(socket, via)
    except HandshakeRefused as error:
        yield problem(
            "public URL",
            f"{url} does not upgrade to WebSocket: {error}",
            "is it jackfield's /connection/websocket, and does the proxy in front pass Upgrade on?",
        )
        return
    except ssl.SSLError as error:
        yield problem("public URL", f"{url}: {error}", "see docs/tls.md about the certificate")
        return
    except (OSError, ValueError) as error:
        yield problem(
            "public URL",
            f"{url} cannot be reached: {error}",
            "start jackfield, or correct PUBLIC_URL",
        )
        return
    yield from _origins(url, origins)


def _origins(url: str, origins: Sequence[str]) -> Iterator[Finding]:
    if not origins:
        yield note("origins", "the settings name none", "--origin https://example.com names one")
        return
    refused = []
    for origin in origins:
        try:
            with WebSocket(url, origin=origin) as socket:
                # A server tells by a close who may not come; nobody else hears of this `ping`.
                socket.command(connect={})
        except HandshakeRefused as error:
            if error.status == 403:
                refused.append(origin)
        except (Closed, OSError):
            # It was let in far enough to be asked for its token.
            pass
    if refused:
        yield problem(
            "origins",
            f"the server refuses pages of {', '.join(refused)}",
            f"[client] allowed_origins = {list(origins)} in jackfield.toml".replace("'", '"'),
        )
    else:
        yield ok("origins", f"pages of {', '.join(origins)} may connect")


def _with_token(socket: WebSocket, via: str) -> Iterator[Finding]:
    """Key, clock, round trip and worker, over one connection."""
    now = int(time.time())
    token = signed({"sub": "", "iat": now, "exp": now + TOKEN_SECONDS}, via)
    keys = "keys"
    remedy = "give the server the key of `manage.py jackfield key` as client.token.hmac_secret_key"
    sent = time.time()
    try:
        reply = socket.command(connect={"token": token})
    except Closed as error:
        if error.code == INVALID_TOKEN:
            yield problem(keys, f"the server refuses our token: {error}", remedy)
        else:
            yield problem(keys, f"the server did not take our token: {error}", remedy)
        return
    except OSError as error:
        yield problem(keys, f"no answer to our token: {error}", "see the log of jackfield")
        return
    took = time.time() - sent
    if "error" in reply:
        text = f"{reply['error'].get('code')} {reply['error'].get('message')}"
        if reply["error"].get("code") == EXPIRED:
            yield problem(
                "clock",
                f"a token of {TOKEN_SECONDS} s has expired already: {text}",
                "set the clocks of both machines by NTP",
            )
        else:
            yield problem(keys, f"the server refuses our token: {text}", remedy)
        return
    yield ok(keys, "the server takes what Django signs")
    yield _clock(reply["connect"], socket.headers, sent + took / 2)
    yield from _round_trip(socket, reply["connect"]["client"], via)
    yield from _echo(socket)


def _clock(connect: dict[str, Any], headers: dict[str, str], here: float) -> Finding:
    """How far the clocks of Django and of the server are apart."""
    precision = 0.0
    if "time" in connect:
        there = connect["time"] / 1000
    elif "date" in headers:
        there, precision = parsedate_to_datetime(headers["date"]).timestamp() + 0.5, 0.5
    else:
        return note(
            "clock",
            "the server does not tell its time",
            "[client] connect_include_server_time = true, and it does",
        )
    skew = there - here
    if abs(skew) > SKEW_SECONDS + precision:
        return problem(
            "clock",
            f"the server is {skew:+.1f} s off",
            "set the clocks of both machines by NTP: tokens expire by them",
        )
    return ok("clock", f"the server's is {skew:+.3f} s off")


def _round_trip(socket: WebSocket, client: str, via: str) -> Iterator[Finding]:
    """A question of Django to our own connection, and the answer."""
    subject = "round trip"

    def asked() -> float:
        start = time.perf_counter()
        ask_client(METHOD, client=client, timeout=ANSWER_SECONDS, via=via)
        return (time.perf_counter() - start) * 1000

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(asked)
        try:
            socket.answer(METHOD, {})
            took = asking.result()
        except (JackfieldError, OSError, Closed) as error:
            yield problem(
                subject,
                f"a question to our own connection was not answered: {error}",
                "do the server behind PUBLIC_URL and the queue belong together? Compare driver, "
                "url, prefix and partitions under [app_link] with JACKFIELD",
            )
            return
    yield ok(subject, f"Django, queue, server, connection and back: {took:.1f} ms")


def _echo(socket: WebSocket) -> Iterator[Finding]:
    """A call that a worker has to answer, if only by saying that it knows no such method."""
    subject = "worker round trip"
    start = time.perf_counter()
    try:
        reply = socket.command(rpc={"method": METHOD})
    except (OSError, Closed) as error:
        yield note(subject, f"a call was not answered: {error}", "start manage.py jackfield worker")
        return
    took = (time.perf_counter() - start) * 1000
    code = reply.get("error", {}).get("code")
    if code == NOT_AVAILABLE:
        yield note(subject, "not tried: the server hands no calls to the application")
    elif code in (None, NO_METHOD):
        yield ok(subject, f"connection, server, queue, worker and back: {took:.1f} ms")
    else:
        text = f"{code} {reply['error'].get('message')}"
        yield note(
            subject, f"no worker answered a call: {text}", "start manage.py jackfield worker"
        )
