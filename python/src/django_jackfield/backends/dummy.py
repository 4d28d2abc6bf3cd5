"""Drops every command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django_jackfield.backends.base import BaseBackend
from django_jackfield.command import Command


class DummyBackend(BaseBackend):
    """Takes commands and does nothing with them."""

    FOR_DEVELOPMENT: ClassVar[bool] = True

    def _send(self, commands: Sequence[Command]) -> None:
        return
