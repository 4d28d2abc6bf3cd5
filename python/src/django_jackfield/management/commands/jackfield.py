"""`manage.py jackfield worker | publish | keygen | key | token | dead`."""

from __future__ import annotations

import json
import logging
import secrets
import signal
import sys
from argparse import ArgumentTypeError
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jackfield.aliases import InvalidAlias, brokers
from django_jackfield.dead import Wanted
from django_jackfield.errors import JackfieldError


class Command(BaseCommand):
    """One command with a subcommand for each job."""

    help = "Runs and inspects the link to the Jackfield socket server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--via", default="default", help="alias in JACKFIELD (default)")
        jobs = parser.add_subparsers(dest="job", required=True, metavar="JOB")
        worker = jobs.add_parser("worker", help="run the handlers of every realtime.py")
        worker.add_argument("--threads", type=_count, default=8)
        worker.add_argument(
            "--grace", type=float, default=30.0, help="seconds for handlers after SIGTERM"
        )
        worker.add_argument(
            "--only-partitions", type=_numbers, metavar="0,1,4-7", help="read only these"
        )
        publish = jobs.add_parser("publish", help="publish JSON to a channel")
        publish.add_argument("channel")
        publish.add_argument("json")
        jobs.add_parser("keygen", help="make a new key for tokens")
        jobs.add_parser("key", help="print the key that signs tokens, for jackfield.toml")
        token = jobs.add_parser("token", help="print a connection token of a user")
        token.add_argument("user", help="primary key or user name")
        token.add_argument("--ttl", type=_count, help="seconds")
        dead = jobs.add_parser("dead", help="look at the dead letters")
        dead_jobs = dead.add_subparsers(dest="dead_job", required=True, metavar="JOB")
        listing = dead_jobs.add_parser("list", help="print them, oldest first, a JSON object each")
        listing.add_argument("--limit", type=_count, default=50)
        for name, says in (
            ("replay", "put them back into the queue they came from"),
            ("drop", "throw them away"),
        ):
            job = dead_jobs.add_parser(name, help=says)
            job.add_argument("--all", action="store_true", help="without any other condition")
            job.add_argument("--id", default="", help="only this one")
            job.add_argument("--reason", default="", help="only those whose reason holds this")
            job.add_argument("--partition", type=int, help="only those of this partition")
            job.add_argument("--limit", type=_count, help="at most so many")
            if name == "replay":
                job.add_argument(
                    "--new-id",
                    action="store_true",
                    help="with new ids: the server drops an id that it has seen in 5 minutes",
                )

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs a job; what the queue or the setting has to say becomes a plain message."""
        try:
            getattr(self, f"do_{options['job']}")(**options)
        except (JackfieldError, ImproperlyConfigured, InvalidAlias, NotImplementedError) as error:
            raise CommandError(str(error)) from error

    def do_worker(self, **options: Any) -> None:
        """Runs until SIGTERM or SIGINT."""
        from django_jackfield.registry import discover
        from django_jackfield.worker.worker import Worker

        _log_to_stderr(options["verbosity"])
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
        if not worker.run():
            sys.exit(1)

    def do_publish(self, **options: Any) -> None:
        """Publishes at once."""
        from django_jackfield.push import publish

        try:
            data = json.loads(options["json"])
        except ValueError as error:
            raise CommandError(
                f"not JSON ({error}). A string needs its quotes: '\"hi\"'"
            ) from error
        sent = publish(options["channel"], data, on_commit=False, via=options["via"])
        self.stdout.write(sent.id)

    def do_keygen(self, **options: Any) -> None:
        """Prints a new key and where it goes."""
        self._print_key(secrets.token_urlsafe(48))

    def do_key(self, **options: Any) -> None:
        """Prints the key in use."""
        self._print_key(brokers[options["via"]].config.signing_key)

    def do_token(self, **options: Any) -> None:
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
        self.stdout.write(token(user, ttl=options["ttl"], via=options["via"]))

    def do_dead(self, **options: Any) -> None:
        """Prints dead letters, or settles them."""
        if options["dead_job"] != "list":
            return self._settle_dead(options)
        for letter in brokers[options["via"]].dead_letters(options["limit"]):
            self.stdout.write(json.dumps(letter))

    def _settle_dead(self, options: dict[str, Any]) -> None:
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
            self.stdout.write(json.dumps(said))

    def _print_key(self, key: str) -> None:
        self.stdout.write("# settings.py: JACKFIELD = {'default': {'KEYS': [KEY], ...}} with KEY =")
        self.stdout.write(key)
        self.stdout.write("# jackfield.toml")
        self.stdout.write(f'[client.token]\nhmac_secret_key = "{key}"')


def _log_to_stderr(verbosity: int) -> None:
    """Makes the worker's lines visible unless the project's LOGGING takes care of them."""
    logger = logging.getLogger("django_jackfield")
    if logger.hasHandlers():
        return
    stream = logging.StreamHandler()
    stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(stream)
    logger.setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


def _numbers(text: str) -> list[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise ArgumentTypeError(f"{text!r} is no list of partitions such as 0,1,4-7")
        numbers |= set(range(int(first), int(last or first) + 1))
    return sorted(numbers)
