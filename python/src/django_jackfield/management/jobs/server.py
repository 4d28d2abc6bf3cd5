"""`manage.py jackfield server`: the bundled server in the foreground."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jackfield.aliases import brokers
from django_jackfield.conf import in_development
from django_jackfield.devserver import binary, config
from django_jackfield.devserver.server import clean_environment, write_config
from django_jackfield.registry import discover

HELP = "run the bundled server in the foreground, in the place of this process"


def add_arguments(parser: CommandParser) -> None:
    """Which configuration, or where to listen with the derived one."""
    parser.add_argument(
        "--config", metavar="FILE", help="jackfield.toml; without it, one is derived from Django"
    )
    parser.add_argument("--address", default="127.0.0.1", help="where clients come (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8400, help="of clients (8400)")
    parser.add_argument(
        "--pages",
        action="append",
        metavar="ORIGIN",
        help="origin of the pages, such as https://example.com; may be repeated. Without it those "
        "of runserver on port 8000, ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Becomes the server."""
    program = binary.find_binary()
    if program is None:
        raise CommandError(binary.missing())
    environment = clean_environment()
    path = options["config"]
    if path is None:
        setting = brokers[options["via"]].config
        address, port = options["address"], options["port"]
        pages = options["pages"] or config.origins(address, 8000)
        site = config.site_url("127.0.0.1", 8000) if in_development() else ""
        full = config.local_config(setting, discover(), address, port, pages, site)
        path = Path(tempfile.mkdtemp(prefix="jackfield-"), "jackfield.json")
        write_config(path, config.merged(full, {"log": {"level": "info"}}))
    else:
        # The operator's own file goes with the operator's own variables.
        environment = dict(os.environ)
    arguments = [program, "serve", "-c", str(path)]
    command.stdout.flush()
    if os.name == "nt":
        sys.exit(subprocess.call(arguments, env=environment))  # noqa: S603
    os.execve(program, arguments, environment)  # noqa: S606
