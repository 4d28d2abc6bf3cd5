"""`manage.py jackfield keygen`: a new key."""

from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_jackfield.management.jobs._keys import print_key

HELP = "make a new key for tokens"


def add_arguments(parser: CommandParser) -> None:
    """It takes none."""


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints a new key and where it goes."""
    print_key(command, secrets.token_urlsafe(48))
