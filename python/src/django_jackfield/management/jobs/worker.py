"""`manage.py jackfield worker`: runs the handlers."""

from __future__ import annotations

import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jackfield.aliases import brokers
from django_jackfield.management.jobs._arguments import count, numbers
from django_jackfield.management.jobs._stderr import log_to_stderr

HELP = "run the handlers of every realtime.py"


def add_arguments(parser: CommandParser) -> None:
    """How many, how long, which."""
    parser.add_argument("--threads", type=count, default=8)
    parser.add_argument(
        "--grace", type=float, default=30.0, help="seconds for handlers after SIGTERM"
    )
    parser.add_argument(
        "--only-partitions", type=numbers, metavar="0,1,4-7", help="read only these"
    )
    parser.add_argument(
        "--relay", action="store_true", help="also send what waits in the outbox, in a thread"
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Runs until SIGTERM or SIGINT."""
    from django_jackfield.registry import discover
    from django_jackfield.worker.worker import Worker

    log_to_stderr(options["verbosity"])
    try:
        worker = Worker(
            brokers[options["via"]],
            discover(),
            threads=options["threads"],
            grace_seconds=options["grace"],
            partitions=options["only_partitions"],
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    with _relay(options["relay"]):
        clean = worker.run()
    if not clean:
        sys.exit(1)


def _relay(wanted: bool) -> AbstractContextManager[object]:
    if not wanted:
        return nullcontext()
    from django_jackfield.outbox.relay import in_background

    return in_background()
