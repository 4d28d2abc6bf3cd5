"""The face between a worker and a queue of events."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django_jackfield.dispatch import Outcome

logger = logging.getLogger("django_jackfield.worker")


@dataclass(slots=True, eq=False)
class Delivery:
    """One event as a queue handed it over. `tag` is for the feed that made it.

    What the worker notes on it: `number` (the order in which all came), `admitted` (it was
    begun), `due` (it has waited for the end of a burst), `failures` (so often its handler raised).
    """

    fields: Mapping[str, str | bytes]
    attempt: int
    tag: Any
    number: int = 0
    admitted: bool = False
    due: bool = False
    failures: int = 0

    @property
    def lane(self) -> str:
        """What must stay in order: the connection."""
        names = ("client", "channel", "id")
        lane = next((value for name in names if (value := self.fields.get(name))), "")
        return lane if isinstance(lane, str) else lane.decode(errors="replace")


class Sink(Protocol):
    """Where a feed puts what it reads."""

    max_attempts: int
    """So often an event may be begun."""

    def submit(self, delivery: Delivery, timeout: float) -> bool:
        """Takes a delivery; False if there was no room within `timeout` seconds."""


class Feed(Protocol):
    """Reads events in threads of its own. Survives outages of the queue by itself."""

    capacity: int | None
    most_attempts: int | None
    """So often the queue can bear that an event is begun in vain; None if it has no limit."""

    def describe(self) -> str:
        """What it reads, in words."""

    def start(self) -> None:
        """Begins to read. Returns at once."""

    def admit(self, delivery: Delivery) -> bool:
        """Whether a delivery whose turn has come is still ours to handle."""

    def attempt(self, delivery: Delivery) -> int:
        """Which try to handle it begins now, from 1: what waited behind others was not tried.

        A try that nobody can know of counts, so an event that was delivered again has at least 2.
        """

    def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Answers, buries and acknowledges. From any thread; returns at once."""

    def stop_reading(self) -> None:
        """Takes nothing more; keeps what it holds."""

    def close(self, timeout: float) -> bool:
        """Settles what is left and lets go. False if that did not fit into `timeout` seconds."""


class Outage:
    """Says once that the queue is gone and once that it is back, whoever notices."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._lock = threading.Lock()
        self._since: float | None = None
        self._ended = 0.0

    def began(self, error: BaseException, tried: float | None = None) -> None:
        """Something failed that was tried then (now, if not said).

        What was tried before the last outage was over failed by that one: with many threads one
        hears of the end before another has told of the middle.
        """
        with self._lock:
            if self._since is not None or (tried is not None and tried < self._ended):
                return
            self._since = time.monotonic()
        logger.warning("%s is gone, trying again until it is back: %s", self.where, _brief(error))

    def over(self) -> None:
        """Something worked."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
            self._ended = time.monotonic()
        if since is not None:
            logger.warning("%s is back after %.1f s", self.where, time.monotonic() - since)


class Backoff:
    """Waits longer after each failure, up to a bound."""

    def __init__(self, first_seconds: float = 0.1, most_seconds: float = 2.0) -> None:
        self.first_seconds = first_seconds
        self.most_seconds = most_seconds
        self._seconds = first_seconds

    def wait(self, sleep: Callable[[float], Any]) -> None:
        """Sleeps by the function given, so that a stop can cut it short."""
        sleep(self._seconds)
        self._seconds = min(self._seconds * 2, self.most_seconds)

    def reset(self) -> None:
        """Starts over."""
        self._seconds = self.first_seconds


def _brief(error: BaseException) -> str:
    text = str(error) or repr(error)
    return f"{type(error).__name__}: {text}"[:200]
