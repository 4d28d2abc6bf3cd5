"""`manage.py jackfield JOB`: one command; the jobs are modules of `management/jobs`."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jackfield.aliases import InvalidAlias
from django_jackfield.errors import JackfieldError
from django_jackfield.management.jobs import jobs


class Command(BaseCommand):
    """One command with a subcommand for each job."""

    help = "Runs and inspects the link to the Jackfield socket server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--via", default="default", help="alias in JACKFIELD (default)")
        known = parser.add_subparsers(dest="job", required=True, metavar="JOB")
        for name, job in jobs().items():
            job.add_arguments(known.add_parser(name, help=job.HELP))

    def execute(self, *args: Any, **options: Any) -> str | None:
        """A job that tells of faults itself is not stopped by the checks that find them."""
        if getattr(jobs()[options["job"]], "TELLS_FAULTS", False):
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs a job; what the queue or the setting has to say becomes a plain message."""
        try:
            jobs()[options["job"]].run(self, options)
        except (JackfieldError, ImproperlyConfigured, InvalidAlias, NotImplementedError) as error:
            raise CommandError(str(error)) from error
