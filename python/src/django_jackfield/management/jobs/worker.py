"""`manage.py jackfield worker`: runs the handlers."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jackfield.aliases import brokers
from django_jackfield.management.jobs._arguments import count, numbers
from django_jackfield.management.jobs._stderr import log_to_stderr

if TYPE_CHECKING:
    from django_jackfield.worker.supervisor import Place
    from django_jackfield.worker.worker import Worker

HELP = "run the handlers of every realtime.py"

logger = logging.getLogger("django_jackfield.worker")


def add_arguments(parser: CommandParser) -> None:
    """How many, how long, which."""
    parser.add_argument("--threads", type=count, default=8, help="handlers at a time (8)")
    parser.add_argument(
        "--processes",
        type=count,
        default=1,
        help="processes that share the partitions; one that dies is started again (1)",
    )
    parser.add_argument(
        "--grace", type=float, default=30.0, help="seconds for handlers after SIGTERM (30)"
    )
    parser.add_argument(
        "--only-partitions", type=numbers, metavar="0,1,4-7", help="read only these"
    )
    parser.add_argument(
        "--relay", action="store_true", help="also send what waits in the outbox, in a thread"
    )
    parser.add_argument(
        "--max-attempts",
        type=count,
        default=20,
        help="an event whose handler ended so many workers is a dead letter (20; over RabbitMQ 15)",
    )
    parser.add_argument(
        "--handler-timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="report a handler that runs for longer, with its stack; 0: never (60)",
    )
    parser.add_argument(
        "--metrics",
        type=count,
        metavar="PORT",
        help="figures for Prometheus on this port of loopback; each further process has the next",
    )
    parser.add_argument(
        "--reload", action="store_true", help="start again when the code changes (development)"
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Runs until SIGTERM or SIGINT."""
    from django_jackfield.worker.supervisor import Place

    log_to_stderr(options["verbosity"])
    place = Place.of_this_process()
    if options["reload"] and options["processes"] > 1:
        raise CommandError("--reload is for development: leave --processes out")
    if options["reload"]:
        _run_with_reload(options)
    elif options["processes"] > 1 and place is None:
        _supervise(options)
    else:
        _run_one(options, place)


def _make(options: dict[str, Any], place: Place | None = None) -> Worker:
    from django_jackfield.registry import discover
    from django_jackfield.worker.worker import Worker

    backend = brokers[options["via"]]
    partitions = options["only_partitions"]
    if place is not None:
        partitions = place.share(partitions or range(backend.config.partitions))
    try:
        return Worker(
            backend,
            discover(),
            threads=options["threads"],
            grace_seconds=options["grace"],
            partitions=partitions,
            max_attempts=options["max_attempts"],
            handler_timeout=options["handler_timeout"] or None,
        )
    except ValueError as error:
        raise CommandError(str(error)) from error


def _run_one(options: dict[str, Any], place: Place | None) -> None:
    worker = _make(options, place)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    if place is not None:
        place.when_orphaned(worker.stop)
    _serve_metrics(options, worker, place.number if place is not None else 0)
    first = place is None or place.number == 0
    with _relay(options["relay"] and first):
        clean = worker.run()
    if not clean:
        sys.exit(1)


def _relay(wanted: bool) -> AbstractContextManager[object]:
    if not wanted:
        return nullcontext()
    from django_jackfield.outbox.relay import in_background

    return in_background()


def _serve_metrics(options: dict[str, Any], worker: Worker, number: int) -> None:
    if options["metrics"]:
        from django_jackfield.worker.metrics import serve

        port = options["metrics"] + number
        try:
            serve(port, lambda: worker.metrics.text(worker))
        except OSError as error:
            raise CommandError(f"--metrics: port {port} cannot be used: {error}") from error


def _run_with_reload(options: dict[str, Any]) -> None:
    from django_jackfield.worker.reload import run_with_reload

    def make() -> Worker:
        worker = _make(options)
        _serve_metrics(options, worker, 0)
        return worker

    run_with_reload(make)


def _supervise(options: dict[str, Any]) -> None:
    from django_jackfield.worker.supervisor import Supervisor

    # What is wrong with the options or with a realtime.py is told here, once.
    worker = _make(options)
    processes = options["processes"]
    backend = brokers[options["via"]]
    partitions = options["only_partitions"] or range(backend.config.partitions)
    if processes > len(partitions):
        raise CommandError(
            f"--processes {processes}: there are only {len(partitions)} partitions to share "
            "(PARTITIONS, --only-partitions)"
        )
    apart = [one.__name__ for one in worker.registry.channels if one.ordering != "connection"]
    if apart:
        logger.warning(
            "%s: ordering by channel or user holds within one process; connections of other "
            "partitions are handled by other processes",
            ", ".join(apart),
        )
    supervisor = Supervisor(processes)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    logger.info("worker: %d processes under process %d", processes, os.getpid())
    if not supervisor.run():
        sys.exit(1)
