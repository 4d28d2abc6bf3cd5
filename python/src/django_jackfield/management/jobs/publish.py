"""`manage.py jackfield publish`: one publication by hand."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

HELP = "publish JSON to a channel"


def add_arguments(parser: CommandParser) -> None:
    """Where and what."""
    parser.add_argument("channel", help="its name")
    parser.add_argument("json", help="what to publish; text that is not JSON is an error")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Publishes at once."""
    from django_jackfield.push import publish

    try:
        data = json.loads(options["json"])
    except ValueError as error:
        raise CommandError(f"not JSON ({error}). A string needs its quotes: '\"hi\"'") from error
    sent = publish(options["channel"], data, on_commit=False, via=options["via"])
    command.stdout.write(sent.id)
