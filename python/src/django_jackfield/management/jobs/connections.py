"""`manage.py jackfield connections`: who is connected."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

HELP = "print the connections of all nodes, a JSON object each"


def add_arguments(parser: CommandParser) -> None:
    """Whose."""
    parser.add_argument("--user", help="only those of the user with this key")
    parser.add_argument("--client", help="only the one with this id")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Asks the server."""
    from django_jackfield.who import connections

    found = connections(options["user"], client=options["client"], via=options["via"])
    for one in found:
        command.stdout.write(json.dumps(asdict(one) | {"channels": sorted(one.channels)}))
