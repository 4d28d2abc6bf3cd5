"""`manage.py jackfield tail`: follows the publications of a channel."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jackfield.aliases import brokers
from django_jackfield.management.jobs._arguments import count
from django_jackfield.tokens import signed
from django_jackfield.websocket import WebSocket, WebSocketError

HELP = "follow the publications of channels, a JSON object each, until Ctrl-C"
PAUSE_SECONDS = 1.0
TOKEN_SECONDS = 24 * 3600


def add_arguments(parser: CommandParser) -> None:
    """Which channels, and over which door."""
    parser.add_argument("channels", nargs="+", metavar="channel", help="their names")
    parser.add_argument("--url", help="where the server is (PUBLIC_URL)")
    parser.add_argument("--user", default="", help="as this user; anonymous without it")
    parser.add_argument("--count", type=count, help="end after so many")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Listens as a client whose token puts it into the channels, so no right is asked for.

    A connection that is lost is opened again; what was published meanwhile is not shown.
    """
    url = options["url"] or brokers[options["via"]].config.public_url
    if not url:
        raise CommandError("where is the server? Set PUBLIC_URL, or give --url")
    left, was_open = options["count"], False
    try:
        while left is None or left > 0:
            try:
                left, was_open = _follow(command, url, options, left), True
            except WebSocketError as error:
                if not was_open:
                    raise
                command.stderr.write(f"-- {error}")
            if left is None or left > 0:
                command.stderr.write("-- trying again")
                time.sleep(PAUSE_SECONDS)
    except KeyboardInterrupt:
        pass


def _follow(
    command: BaseCommand, url: str, options: dict[str, Any], left: int | None
) -> int | None:
    """One connection, until it ends or enough was shown. Gives how many are left to show."""
    claims = {
        "sub": options["user"],
        "exp": int(time.time()) + TOKEN_SECONDS,
        "channels": options["channels"],
    }
    link = WebSocket(url)
    try:
        hello = {"token": signed(claims, options["via"]), "name": "jackfield tail"}
        link.write(json.dumps({"id": 1, "connect": hello}))
        while left is None or left > 0:
            text = link.read()
            if text is None:
                _ended(command, link)
                return left
            for line in text.splitlines():
                shown = _shown(command, link, json.loads(line))
                left = left if left is None or not shown else left - 1
        return left
    finally:
        link.shut()
        link.close()


def _shown(command: BaseCommand, link: WebSocket, message: dict[str, Any]) -> bool:
    """Takes one message; whether it was a publication."""
    if not message:
        link.write("{}")
    if "error" in message:
        error = message["error"]
        raise CommandError(f"the server says: {error['message']} ({error['code']})")
    if "connect" in message:
        joined = ", ".join(message["connect"].get("subs", ()))
        command.stderr.write(f"-- listening to {joined}; Ctrl-C ends it")
    push = message.get("push") or {}
    if "pub" not in push:
        return False
    command.stdout.write(json.dumps({"channel": push["channel"]} | push["pub"]))
    command.stdout.flush()
    return True


def _ended(command: BaseCommand, link: WebSocket) -> None:
    """Says why the server ended it, and gives up where coming again is of no use."""
    code, reason = link.close_reason or (3000, "connection lost")
    if 3500 <= code < 4000 or code >= 4500:
        raise CommandError(f"the server closed: {reason} ({code})")
    command.stderr.write(f"-- the server closed: {reason} ({code})")
