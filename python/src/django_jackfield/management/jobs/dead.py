"""`manage.py jackfield dead`: what could not be done, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jackfield.aliases import brokers
from django_jackfield.dead import Wanted
from django_jackfield.management.jobs._arguments import count

HELP = "look at the dead letters"


def add_arguments(parser: CommandParser) -> None:
    """What is done, and to which."""
    jobs = parser.add_subparsers(dest="dead_job", required=True, metavar="JOB")
    listing = jobs.add_parser("list", help="print them, oldest first, a JSON object each")
    listing.add_argument("--limit", type=count, default=50)
    for name, says in (
        ("replay", "put them back into the queue they came from"),
        ("drop", "throw them away"),
    ):
        job = jobs.add_parser(name, help=says)
        job.add_argument("--all", action="store_true", help="without any other condition")
        job.add_argument("--id", default="", help="only this one")
        job.add_argument("--reason", default="", help="only those whose reason holds this")
        job.add_argument("--partition", type=int, help="only those of this partition")
        job.add_argument("--limit", type=count, help="at most so many")
        if name == "replay":
            job.add_argument(
                "--new-id",
                action="store_true",
                help="with new ids: the server drops an id that it has seen in 5 minutes",
            )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints dead letters, or settles them."""
    if options["dead_job"] != "list":
        return _settle(command, options)
    for letter in brokers[options["via"]].dead_letters(options["limit"]):
        command.stdout.write(json.dumps(letter))


def _settle(command: BaseCommand, options: dict[str, Any]) -> None:
    wanted = Wanted(
        put_back=options["dead_job"] == "replay",
        id=options["id"],
        reason=options["reason"],
        partition=options["partition"],
        limit=options["limit"],
        fresh_id=options.get("new_id", False),
    )
    if not options["all"] and not (wanted.id or wanted.reason) and wanted.partition is None:
        raise CommandError("which ones? --id, --reason, --partition, or --all")
    for letter, verdict in brokers[options["via"]].settle_dead(wanted):
        kind = "event" if letter.is_event else "command"
        said = {"id": letter.id, "kind": kind, "reason": letter.reason, "done": verdict}
        command.stdout.write(json.dumps(said))
