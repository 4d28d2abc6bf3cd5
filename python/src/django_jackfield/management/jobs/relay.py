"""`manage.py jackfield relay`: sends what waits in the outbox."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_jackfield.management.jobs._arguments import count
from django_jackfield.management.jobs._stderr import log_to_stderr

HELP = "send what waits in the outbox (django_jackfield.outbox), of every alias"


def seconds(text: str) -> float:
    """A number of seconds, not below 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def add_arguments(parser: CommandParser) -> None:
    """How often, how old, from where."""
    parser.add_argument("--once", action="store_true", help="one sweep, then end")
    parser.add_argument(
        "--interval", type=seconds, default=1.0, metavar="SECONDS", help="between sweeps (1)"
    )
    parser.add_argument(
        "--age",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="leave younger rows to the process that wrote them (5); "
        "of no meaning where OUTBOX is 'strict'",
    )
    parser.add_argument("--batch", type=count, default=500, help="rows at a time (500)")
    parser.add_argument(
        "--database", action="append", default=[], help="only this one; may be repeated"
    )
    parser.add_argument(
        "--prune-inbox", type=count, metavar="DAYS", help="also forget events handled before that"
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Runs until SIGTERM or SIGINT; with --once, exits 1 if something was refused."""
    from django_jackfield.inbox.once import prune
    from django_jackfield.outbox.relay import Relay

    log_to_stderr(options["verbosity"])
    relay = Relay(
        databases=options["database"],
        interval_seconds=options["interval"],
        age_seconds=options["age"],
        batch=options["batch"],
    )
    if options["prune_inbox"]:
        prune(timedelta(days=options["prune_inbox"]))
    if options["once"]:
        relay.sweep()
        command.stdout.write(relay.metrics())
        if relay.counts["failed"]:
            sys.exit(1)
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: relay.stop())
    relay.run()
