"""A thread that does things later: second tries, ends of bursts, looks at what is stuck."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("django_jackfield.worker")

Action = Callable[[], None]


class Clock:
    """Runs short actions when their time has come, in a thread of its own."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Action]] = []
        self._number = itertools.count()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, action: Action) -> None:
        """Runs an action after so many seconds; it must not wait for anything."""
        with self._change:
            when = time.monotonic() + seconds
            heapq.heappush(self._due, (when, next(self._number), action))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
                self._thread.start()
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._due or self._due[0][0] > time.monotonic():
                    left = self._due[0][0] - time.monotonic() if self._due else None
                    self._change.wait(left)
                action = heapq.heappop(self._due)[2]
            try:
                action()
            except Exception:
                logger.exception("something that was to be done later failed")
