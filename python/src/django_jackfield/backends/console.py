"""Prints commands, for development without a server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import ClassVar

from django_jackfield.backends.base import BaseBackend
from django_jackfield.command import Command


class ConsoleBackend(BaseBackend):
    """One line on stdout per command."""

    FOR_DEVELOPMENT: ClassVar[bool] = True

    def _send(self, commands: Sequence[Command]) -> None:
        for command in commands:
            sys.stdout.write(f"jackfield {command.method} {command.payload.decode()}\n")
        sys.stdout.flush()
