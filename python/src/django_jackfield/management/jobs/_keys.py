"""How a key is shown."""

from __future__ import annotations

from django.core.management.base import BaseCommand


def print_key(command: BaseCommand, key: str) -> None:
    """Prints a key and where it goes."""
    command.stdout.write("# settings.py: JACKFIELD = {'default': {'KEYS': [KEY], ...}} with KEY =")
    command.stdout.write(key)
    command.stdout.write("# jackfield.toml")
    command.stdout.write(f'[client.token]\nhmac_secret_key = "{key}"')
