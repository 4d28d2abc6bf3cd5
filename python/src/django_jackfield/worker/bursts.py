"""Bursts: of events that come close after each other only the last is handled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django_jackfield.dispatch import Message
from django_jackfield.worker.clock import Clock
from django_jackfield.worker.feed import Delivery

LONGEST = 10
"""A burst that does not end is handled all the same, after so many times its `debounce`."""


@dataclass(slots=True)
class Burst:
    """The newest event of a burst, and when it began and was last added to."""

    newest: Delivery
    wait: float
    began: float
    added: float

    @property
    def due(self) -> float:
        """When it is over, if nothing more comes."""
        return min(self.added + self.wait, self.began + LONGEST * self.wait)


class Bursts:
    """Holds the newest event of each burst, unacknowledged, until the burst is over.

    The one before it is given to `replaced` (to be acknowledged: the newer one is safe in its
    queue), the last one to `over`.
    """

    def __init__(
        self,
        clock: Clock,
        replaced: Callable[[Delivery], None],
        over: Callable[[Delivery], None],
    ) -> None:
        self._clock = clock
        self._replaced = replaced
        self._over = over
        self._lock = threading.Lock()
        self._bursts: dict[tuple[str, str], Burst] = {}

    def __len__(self) -> int:
        return len(self._bursts)

    def add(self, message: Message, delivery: Delivery) -> None:
        """Adds an event to its burst: the same message in the same channel, or of one client."""
        key = (message.rule.name, message.event.channel or message.event.client)
        now = time.monotonic()
        with self._lock:
            burst = self._bursts.get(key)
            if burst is not None:
                before, burst.newest, burst.added = burst.newest, delivery, now
            else:
                before = None
                burst = Burst(delivery, message.rule.debounce, now, now)
                self._bursts[key] = burst
                self._clock.after(burst.wait, lambda: self._look(key))
        if before is not None:
            self._replaced(before)

    def flush(self) -> None:
        """Ends every burst."""
        with self._lock:
            bursts = list(self._bursts.values())
            self._bursts.clear()
        for burst in bursts:
            self._over(burst.newest)

    def _look(self, key: tuple[str, str]) -> None:
        with self._lock:
            burst = self._bursts.get(key)
            if burst is None:
                return
            left = burst.due - time.monotonic()
            if left <= 0:
                del self._bursts[key]
        if left > 0:
            self._clock.after(left, lambda: self._look(key))
        else:
            self._over(burst.newest)
