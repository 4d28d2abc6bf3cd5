"""What `manage.py jackfield` can do: a module for each job, found by its name.

A module has `HELP`, `add_arguments(parser)` and `run(command, options)`. Files whose name begins
with an underscore are shared by jobs.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any, Protocol, cast

from django.core.management.base import BaseCommand, CommandParser


class Job(Protocol):
    """A module of this package."""

    HELP: str

    def add_arguments(self, parser: CommandParser) -> None: ...

    def run(self, command: BaseCommand, options: dict[str, Any]) -> None: ...


def jobs() -> dict[str, Job]:
    """Every job by its name."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return {
        name: cast("Job", import_module(f"{__name__}.{name}"))
        for name in names
        if not name.startswith("_")
    }
