"""A worker that starts again when the code changes."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.utils import autoreload

if TYPE_CHECKING:
    from django_jackfield.worker.worker import Worker

logger = logging.getLogger("django_jackfield.worker")


def run_with_reload(make: Callable[[], Worker]) -> None:
    """Runs what `make` makes under Django's autoreloader, which starts this process again.

    The server and its sockets are another process and stay. What has begun is finished before,
    and the partitions are free at once for the next process.
    """
    autoreload.run_with_reloader(_serve, make)


def _serve(make: Callable[[], Worker]) -> None:
    # The autoreloader runs this in a thread, and ends the process from the main thread.
    worker = make()
    ended = threading.Event()

    def finish(**_: Any) -> None:
        worker.stop()
        ended.wait(worker.grace_seconds + 5)

    autoreload.file_changed.connect(finish, weak=False)
    atexit.register(finish)
    try:
        worker.run()
    finally:
        ended.set()
