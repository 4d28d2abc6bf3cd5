"""`manage.py jackfield config`: the jackfield.toml that this project needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

HELP = "print, write or check the jackfield.toml that this project needs"


def add_arguments(parser: CommandParser) -> None:
    """What to do with it."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", metavar="FILE", help="say what differs in this file; 1 if any does"
    )
    what.add_argument("--write", metavar="FILE", help="write this file")
    parser.add_argument(
        "--keys", action="store_true", help="with the secrets, instead of the names of variables"
    )
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="one more page that may connect, such as https://example.com; repeatable",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints, writes or checks."""
    from django_jackfield.project_file import differences, project_file, read
    from django_jackfield.registry import discover

    wanted = project_file(discover(), options["via"])
    allowed = wanted.document["client"]["allowed_origins"]
    allowed += [origin for origin in options["origin"] if origin not in allowed]
    if options["check"]:
        found = list(differences(wanted, read(options["check"])))
        for line in found:
            command.stdout.write(line)
        if found:
            raise CommandError(
                f"{options['check']}: {len(found)} difference(s). `manage.py jackfield config "
                "--write FILE` writes a file without any."
            )
        command.stdout.write(f"{options['check']} is what the project needs.")
    elif options["write"]:
        path = Path(options["write"])
        text = wanted.text(keys=options["keys"])
        if options["keys"]:
            path.touch(mode=0o600)
            path.chmod(0o600)
        path.write_text(text, encoding="utf-8")
        command.stdout.write(f"{path} is written.")
    else:
        command.stdout.write(wanted.text(keys=options["keys"]), ending="")
