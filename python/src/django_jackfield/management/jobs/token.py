"""`manage.py jackfield token`: a token to try something with."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jackfield.management.jobs._arguments import count

HELP = "print a connection token of a user"


def add_arguments(parser: CommandParser) -> None:
    """Of whom, and for how long."""
    parser.add_argument("user", help="primary key or user name")
    parser.add_argument("--ttl", type=count, help="seconds")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints a token."""
    from django.contrib.auth import get_user_model

    from django_jackfield.tokens import token

    users: Any = get_user_model()._default_manager
    name = options["user"]
    try:
        user = users.get(pk=name)
    except (ObjectDoesNotExist, ValueError, TypeError):
        try:
            user = users.get_by_natural_key(name)
        except ObjectDoesNotExist as error:
            raise CommandError(f"no user has the key or the name {name!r}") from error
    command.stdout.write(token(user, ttl=options["ttl"], via=options["via"]))
