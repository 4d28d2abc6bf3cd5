"""`manage.py jackfield history`: what was published in a channel."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.timezone import is_naive, make_aware

from django_jackfield.management.jobs._arguments import count

HELP = "print what was published in a channel, a JSON object each, oldest first"


def add_arguments(parser: CommandParser) -> None:
    """Which channel, and how much of it."""
    parser.add_argument("channel", help="its name")
    parser.add_argument("--limit", type=count, help="at most so many; without --since the newest")
    parser.add_argument(
        "--since",
        type=position,
        metavar="OFFSET:EPOCH or TIME",
        help="after this position, or from this time on (2026-05-17T12:00)",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Asks the server."""
    from django_jackfield.ask import history

    since, limit = options["since"], options["limit"]
    is_newest = limit is not None and since is None
    found = history(
        options["channel"],
        limit=-1 if limit is None else limit,
        since=since,
        reverse=True if is_newest else None,
        via=options["via"],
    )
    publications = found["publications"]
    for publication in reversed(publications) if is_newest else publications:
        command.stdout.write(json.dumps(publication))
    command.stderr.write(f"position {found['offset']}:{found['epoch']}")


def position(text: str) -> dict[str, Any]:
    """Where to begin: `12:pQzN`, or a time in ISO form."""
    offset, _, epoch = text.partition(":")
    if offset.isdigit() and epoch and "-" not in offset:
        return {"offset": int(offset), "epoch": epoch}
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(
            f"{text!r} is neither a position such as 12:pQzN nor a time such as 2026-05-17T12:00"
        ) from error
    if is_naive(moment):
        moment = make_aware(moment)
    return {"time": int(moment.timestamp() * 1000)}
