"""`manage.py jackfield inbox`: forgets events that were handled long ago."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DEFAULT_DB_ALIAS

from django_jackfield.management.jobs._arguments import count

HELP = "look after the ids of handled events (django_jackfield.inbox)"


def add_arguments(parser: CommandParser) -> None:
    """What is done, and to which."""
    jobs = parser.add_subparsers(dest="inbox_job", required=True, metavar="JOB")
    job = jobs.add_parser("prune", help="forget those that were handled before --days")
    job.add_argument("--days", type=count, default=7)
    job.add_argument("--database", default=DEFAULT_DB_ALIAS)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prunes, and says how many went."""
    from django_jackfield.inbox.once import prune

    forgotten = prune(timedelta(days=options["days"]), using=options["database"])
    command.stdout.write(f"{forgotten} forgotten")
