"""`manage.py jackfield key`: the key in use."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_jackfield.aliases import brokers
from django_jackfield.management.jobs._keys import print_key
from django_jackfield.webhook import secret_of

HELP = "print the key that signs tokens, for jackfield.toml"


def add_arguments(parser: CommandParser) -> None:
    """It takes none."""


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints the key in use."""
    config = brokers[options["via"]].config
    print_key(command, config.signing_key)
    if config.asks_by_cookie:
        command.stdout.write(f'[client.proxy.connect]\nsecret = "{secret_of(config)}"')
