"""`manage.py jackfield doctor`: says what is wrong between Django and a page, and what helps."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser

from django_jackfield.aliases import brokers
from django_jackfield.conf import URL_VARIABLE, in_development, raw_aliases
from django_jackfield.devserver import config
from django_jackfield.devserver.server import answers
from django_jackfield.doctor import cookies, django_side, server_side
from django_jackfield.doctor.finding import OK, PROBLEM, Finding, problem

TELLS_FAULTS = True
RUNSERVER_PORT = 8000
HELP = "look at everything between Django and a page, and say what is wrong"


def add_arguments(parser: CommandParser) -> None:
    """Where to look, and how to tell."""
    parser.add_argument("--json", action="store_true", help="a JSON object per line")
    parser.add_argument("--url", help="public URL of the server, instead of PUBLIC_URL")
    parser.add_argument("--internal-url", help="internal port, such as http://127.0.0.1:8401")
    parser.add_argument(
        "--origin",
        action="append",
        metavar="ORIGIN",
        help="origin of the pages, such as https://example.com; may be repeated",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints what is found as it is found; exit code 1 if something is wrong."""
    problems = 0
    for finding in examine(options):
        problems += finding.state == PROBLEM
        if options["json"]:
            command.stdout.write(json.dumps(finding.as_dict()))
            continue
        style = command.style.ERROR if finding.state == PROBLEM else str
        command.stdout.write(style(str(finding)))
    if not options["json"]:
        said = {0: "nothing is wrong", 1: "1 problem"}.get(problems, f"{problems} problems")
        command.stdout.write(f"\n{said}")
    if problems:
        sys.exit(1)


def examine(options: dict[str, Any]) -> Iterator[Finding]:
    """Every finding, in the order in which a publication travels."""
    yield from django_side.setting()
    yield from django_side.program()
    try:
        backend = brokers[options["via"]]
    except ImproperlyConfigured as error:
        yield problem("setting", str(error), "correct JACKFIELD in the settings")
        return
    url = options["url"] or _of_runserver(options["via"]) or backend.config.public_url
    yield from django_side.handlers()
    reached = True
    for finding in django_side.queue(backend):
        reached = reached and finding.state != PROBLEM
        yield finding
    if reached:
        yield from django_side.server_reads(backend)
        yield from django_side.workers(backend)
    assumed = f"http://127.0.0.1:{config.internal_port(backend.config)}" if settings.DEBUG else None
    yield from server_side.internal(options["internal_url"], assumed)
    origins = options["origin"] or server_side.pages()
    yield from cookies.view(backend.config)
    for finding in server_side.public(url, origins, options["via"]):
        yield finding
        if url and (finding.subject, finding.state) == ("public URL", OK):
            yield from cookies.asking(url, backend.config)


def _of_runserver(via: str) -> str | None:
    """The server of `runserver` on its usual port, where no setting tells and one is there."""
    told = os.environ.get(URL_VARIABLE) or raw_aliases()[via].get("PUBLIC_URL")
    port = RUNSERVER_PORT + 1
    if told or not in_development() or not answers("127.0.0.1", port):
        return None
    return config.public_url("127.0.0.1", port)
