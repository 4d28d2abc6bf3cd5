"""Watches handlers that run for too long, and shows where they are."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from django_jackfield.event import Event
from django_jackfield.signals import handler_stuck
from django_jackfield.worker.clock import Clock

logger = logging.getLogger("django_jackfield.worker")


@dataclass(slots=True, eq=False)
class Running:
    """What a thread works on. `limit` is in seconds; None is for ever."""

    event: Event
    began: float
    limit: float | None
    ended: bool = False


class Watch:
    """Knows what each thread works on; a handler over its limit is reported once."""

    def __init__(self, clock: Clock, limit: float | None, replace: Callable[[int], bool]) -> None:
        self.limit = limit
        self.stuck = 0
        self._clock = clock
        self._replace = replace
        self._running: dict[int, Running] = {}
        self._reported: set[Running] = set()
        self._round: float | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """How many handlers run."""
        return len(self._running)

    def begin(self, event: Event, limit: float | None) -> Running:
        """This thread begins to work on an event."""
        running = Running(event, time.monotonic(), limit or self.limit)
        self._running[threading.get_ident()] = running
        pause = None if running.limit is None else max(0.05, running.limit / 4)
        if pause is not None and (self._round is None or pause < self._round):
            self._go_round(pause)
        return running

    def end(self) -> float:
        """This thread is done with it; how many seconds that took."""
        running = self._running.pop(threading.get_ident())
        self._reported.discard(running)
        return time.monotonic() - running.began

    def _go_round(self, pause: float) -> None:
        """Looks at every thread each quarter of the shortest limit there has been."""
        with self._lock:
            first = self._round is None
            self._round = pause
        if first:
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        for ident, running in list(self._running.items()):
            limit = running.limit
            if limit is None or now - running.began < limit or running in self._reported:
                continue
            self._reported.add(running)
            self._report(ident, running, now - running.began)
        self._clock.after(self._round or 1.0, self._look)

    def _report(self, ident: int, running: Running, seconds: float) -> None:
        frame = sys._current_frames().get(ident)
        if frame is None or self._running.get(ident) is not running:
            return
        self.stuck += 1
        stack = "".join(traceback.format_stack(frame))
        event = running.event
        name = (event.event or event.channel)[:80]
        logger.error(
            "the handler of %s %r %r has run for %.1f s, longer than %g s (timeout=, "
            "--handler-timeout), and is here:\n%s",
            *(event.type, name, event.id, seconds, running.limit, stack),
        )
        handler_stuck.send_robust(sender=Watch, event=event, seconds=seconds, stack=stack)
        if not self._replace(ident):
            logger.error("as many threads are stuck as there were: no other one is added")
