"""Who relays in strict order: one at a time, and whoever dies makes room at once."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import DatabaseError, transaction

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def leading(connection: Any, via: str) -> Iterator[bool]:
    """Whether this process is the one that may relay `via` from this database now.

    With row locks it is one, held for the block: the database lets go of it when its holder
    dies. SQLite has none, but all its users are on one machine: there it is a lock of a file.
    """
    if connection.features.has_select_for_update:
        with _row(connection, via) as held:
            yield held
    else:
        with _file(connection, via) as held:
            yield held


@contextmanager
def _row(connection: Any, via: str) -> Iterator[bool]:
    from django_jackfield.outbox.models import Leader

    rows = Leader._base_manager.using(connection.alias)
    with suppress(DatabaseError):
        rows.get_or_create(via=via)
    skips = bool(connection.features.has_select_for_update_skip_locked)
    with transaction.atomic(using=connection.alias):
        yield rows.select_for_update(skip_locked=skips).filter(via=via).first() is not None


@contextmanager
def _file(connection: Any, via: str) -> Iterator[bool]:
    name = str(connection.settings_dict["NAME"])
    if fcntl is None or ":memory:" in name or "mode=memory" in name:
        yield True
        return
    number = zlib.crc32(f"{Path(name).resolve()} {via}".encode())
    # Beside the database: a folder of temporary files may be private to a service.
    folder = Path(name).resolve().parent
    if not os.access(folder, os.W_OK):
        folder = Path(tempfile.gettempdir())
    with (folder / f".jackfield-relay-{number:08x}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
