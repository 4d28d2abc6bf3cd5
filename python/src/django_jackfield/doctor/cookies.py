"""What the doctor can see of AUTH "session" and "both": the connect view, and who asks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from django_jackfield.conf import Config
from django_jackfield.connect_call import ROUTE, UNAUTHORIZED
from django_jackfield.doctor.finding import Finding, note, ok, problem
from django_jackfield.doctor.websocket import Closed, HandshakeRefused, WebSocket
from django_jackfield.webhook import secret_of, signed_headers

PATIENCE_SECONDS = 5.0
STRANGE_ORIGIN = "https://jackfield-doctor.invalid"
VIEW, COOKIES = "connect view", "cookies"


def view(config: Config) -> Iterator[Finding]:
    """Asks the connect view as the server does, for a browser without a cookie."""
    url = config.connect_url
    if not config.asks_by_cookie:
        return
    if not url:
        yield note(VIEW, "CONNECT_URL is not set; `runserver` knows where it is itself")
        return
    try:
        status, location, body = _asked(url, config)
    except (OSError, HTTPException) as error:
        yield problem(
            VIEW,
            f"{url} cannot be reached: {type(error).__name__}: {error}",
            "start Django there, or correct CONNECT_URL",
        )
        return
    if status != 200:
        yield problem(VIEW, *_refusal(url, status, location, body))
        return
    try:
        said = json.loads(body)
        code = said.get("error", {}).get("code")
    except (ValueError, AttributeError):
        yield problem(VIEW, f"{url} answers what is no JSON: {body[:80]!r}", _ANOTHER)
        return
    if code == UNAUTHORIZED["code"] or "result" in said:
        yield ok(VIEW, f"{url} answers, and believes our signature")
    else:
        yield problem(VIEW, f"{url} answers {body[:120]!r}", _ANOTHER)


def asking(url: str, config: Config) -> Iterator[Finding]:
    """Whether the server asks Django about who brings no token, and lets no strange page do so."""
    if not config.asks_by_cookie:
        return
    try:
        with WebSocket(url) as socket:
            reply = socket.command(connect={})
    except Closed as error:
        yield problem(
            COOKIES,
            f"the server does not ask Django about a client without a token: {error}",
            "manage.py jackfield config says what [client.proxy.connect] of jackfield.toml needs",
        )
        return
    except (OSError, HandshakeRefused) as error:
        yield problem(COOKIES, f"no answer without a token: {error}", "see the log of jackfield")
        return
    code = reply.get("error", {}).get("code")
    if code == UNAUTHORIZED["code"] or (code is None and config.anonymous):
        yield ok(COOKIES, "the server asks Django who comes without a token")
    elif code is None:
        yield problem(
            COOKIES,
            "the server lets in who has neither token nor cookie, and ANONYMOUS is off",
            "compare its file: manage.py jackfield config --check jackfield.toml",
        )
    else:
        yield problem(
            COOKIES,
            f"the server gets no answer from Django: {code} {reply['error'].get('message')}",
            "the log of jackfield says what it got; see the line about the connect view, and "
            "whether the server's machine reaches CONNECT_URL",
        )
    yield from _strangers(url)


def _strangers(url: str) -> Iterator[Finding]:
    try:
        WebSocket(url, origin=STRANGE_ORIGIN).__exit__()
    except HandshakeRefused as error:
        if error.status == 403:
            return
    except OSError:
        return
    yield problem(
        COOKIES,
        f"the server takes sockets of any page, such as {STRANGE_ORIGIN}",
        "[client] allowed_origins of jackfield.toml must name your pages and not '*': a cookie "
        "comes with every page",
    )


def _asked(url: str, config: Config) -> tuple[int, str, str]:
    """Status, Location and body of an answer."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    body = b'{"client":"","transport":"websocket","protocol":"json","encoding":"json"}'
    headers = signed_headers(secret_of(config), body) | {"Content-Type": "application/json"}
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE_SECONDS)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        text = answer.read(4096).decode(errors="replace")
        return answer.status, answer.getheader("Location") or "", text
    finally:
        connection.close()


_ANOTHER = "is it the connect view of this project that CONNECT_URL leads to?"


def _refusal(url: str, status: int, location: str, body: str) -> tuple[str, str]:
    """What a status means, and what helps."""
    parts = urlsplit(url)
    path = parts.path.lstrip("/")
    if 300 <= status < 400:
        if location.startswith("https://") and parts.scheme == "http":
            return (
                f"{url} redirects to {location[:120]}, and the server follows nobody",
                f"SECURE_REDIRECT_EXEMPT = [{f'^{path}$'!r}], or a CONNECT_URL with https://",
            )
        return (
            f"{url} redirects to {location[:120]}: middleware turns everybody away",
            "let it pass the path of the connect view, which answers for itself",
        )
    if status == 400:
        return f"{url} answers 400", f"add {parts.hostname!r} to ALLOWED_HOSTS"
    try:
        said = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        said = ""
    if said:
        return f"{url} answers {status}: {said}", "this process and that one have other settings"
    if status == 404:
        return f"{url} is not there", f"correct CONNECT_URL, or {ROUTE}"
    return f"{url} answers {status}", _ANOTHER
