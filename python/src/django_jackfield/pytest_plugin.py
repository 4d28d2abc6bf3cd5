"""The pytest plugin: a fixture `jackfield_outbox`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def jackfield_outbox(settings: Any) -> Iterator[list[Any]]:
    """The list of commands sent in a test; every alias of JACKFIELD is switched to locmem.

    With the `db` fixture nothing commits: use `django_capture_on_commit_callbacks(execute=True)`.
    `settings` is the fixture of pytest-django, so that both are undone in the right order.
    """
    from django_jackfield.test import locmem_aliases, outbox

    settings.JACKFIELD = locmem_aliases()
    outbox.clear()
    yield outbox
    outbox.clear()
