"""The worker: a feed, lanes, and what it says about itself."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence

from django.conf import settings
from django.db import close_old_connections, reset_queries

from django_jackfield.backends.base import BaseBackend
from django_jackfield.dispatch import Dispatcher, Outcome
from django_jackfield.errors import EventError
from django_jackfield.event import Event
from django_jackfield.registry import Registry
from django_jackfield.signals import message_dead
from django_jackfield.worker.feed import Delivery, Feed
from django_jackfield.worker.lanes import Lanes

logger = logging.getLogger("django_jackfield.worker")

MAX_ATTEMPTS = 20
CLOSE_SECONDS = 3.0


class Worker:
    """Reads events of one alias and runs their handlers, at least once each."""

    def __init__(
        self,
        backend: BaseBackend,
        registry: Registry,
        *,
        threads: int = 8,
        grace_seconds: float = 30.0,
        partitions: Sequence[int] | None = None,
    ) -> None:
        config = backend.config
        numbers = range(config.partitions) if partitions is None else partitions
        outside = [number for number in numbers if not 0 <= number < config.partitions]
        if outside:
            raise ValueError(
                f"partitions {outside} do not exist: PARTITIONS is {config.partitions}, "
                f"counted from 0"
            )
        self.registry = registry
        self.grace_seconds = grace_seconds
        self.counts: Counter[str] = Counter()
        self.feed: Feed = backend.feed(self, list(numbers))
        self.lanes = Lanes(threads, self.feed.capacity, self.handle)
        self._dispatcher = Dispatcher(registry, config.alias)
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._hurry = threading.Event()

    def stop(self) -> None:
        """Asks for the end; asked twice, does not wait for handlers. Safe in a signal handler."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def run(self) -> bool:
        """Works until stopped. False if something had to be left for the next worker."""
        logger.info(
            "worker: %s; %d threads; %s",
            self.feed.describe(),
            self.lanes.threads,
            self.registry.summary(),
        )
        self.lanes.start()
        self.feed.start()
        while not self._stop.wait(3600):
            pass
        logger.info("worker: stopping, %g s for what has begun", self.grace_seconds)
        start = time.monotonic()
        self.feed.stop_reading()
        left = self.lanes.drain(self.grace_seconds, self._hurry)
        self._hurry.set()
        rest = max(CLOSE_SECONDS, self.grace_seconds - (time.monotonic() - start))
        clean = self.feed.close(rest) and not left
        logger.info("worker: stopped; %s", self._said(left))
        return clean

    def submit(self, delivery: Delivery, timeout: float) -> bool:
        """Where the feed puts what it reads."""
        return self.lanes.submit(delivery, timeout)

    def handle(self, delivery: Delivery) -> None:
        """One delivery, in the thread of its lane."""
        if self._hurry.is_set() or not self.feed.admit(delivery):
            self._count("given back")
            return
        event: Event | None = None
        try:
            event = Event.from_fields(delivery.fields, delivery.attempt)
            outcome = self._outcome(event)
        except EventError as error:
            outcome = Outcome(dead=f"not understood: {error}", error=error)
        if outcome.dead:
            self._bury(event, outcome)
        self._count("dead" if outcome.dead else "done")
        self.feed.settle(delivery, outcome)

    def _outcome(self, event: Event) -> Outcome:
        if event.attempt > 1:
            self._count("delivered again")
        if event.attempt > MAX_ATTEMPTS:
            return Outcome(dead=f"delivered {event.attempt} times, never finished")
        if event.expired:
            self._count("expired")
            logger.info("call %r came after its deadline and was dropped", event.id)
            return Outcome()
        close_old_connections()
        if settings.DEBUG:
            reset_queries()
        try:
            return self._dispatcher.handle(event)
        finally:
            close_old_connections()

    def _bury(self, event: Event | None, outcome: Outcome) -> None:
        name = f"{event.type} {event.id}" if event else "an event"
        logger.warning("%r goes to the dead letters: %r", name, outcome.dead)
        message_dead.send_robust(
            sender=Worker, event=event, reason=outcome.dead, error=outcome.error
        )

    def _count(self, what: str) -> None:
        with self._counting:
            self.counts[what] += 1

    def _said(self, left: int) -> str:
        counts = self.counts + Counter({"left for the next worker": left})
        return ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "nothing came"
