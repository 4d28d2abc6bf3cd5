"""`manage.py jackfield presence`: who is in a channel."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

HELP = "print who is in a channel, a JSON object each"


def add_arguments(parser: CommandParser) -> None:
    """Which channel."""
    parser.add_argument("channel", help="its name")
    parser.add_argument("--count", action="store_true", help="only how many connections and users")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Asks the server."""
    from django_jackfield.ask import presence, presence_stats

    channel, via = options["channel"], options["via"]
    if options["count"]:
        command.stdout.write(json.dumps(presence_stats(channel, via=via)))
        return
    for member in presence(channel, via=via).values():
        command.stdout.write(json.dumps(member))
