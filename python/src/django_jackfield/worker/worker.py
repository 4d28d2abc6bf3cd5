"""The worker: a feed, lanes, and what it says about itself."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial

from django.conf import settings
from django.db import reset_queries
from django.utils import translation

from django_jackfield.backends.base import BaseBackend
from django_jackfield.dispatch import DONE, Dispatcher, Message, Outcome
from django_jackfield.errors import EventError, UnhandledEvent
from django_jackfield.event import Event
from django_jackfield.registry import Registry
from django_jackfield.signals import message_dead
from django_jackfield.worker import databases
from django_jackfield.worker.bursts import Bursts
from django_jackfield.worker.clock import Clock
from django_jackfield.worker.feed import Delivery, Feed
from django_jackfield.worker.keys import LaneKeys
from django_jackfield.worker.lanes import Lane, Lanes
from django_jackfield.worker.metrics import Metrics
from django_jackfield.worker.watch import Watch

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
        max_attempts: int = MAX_ATTEMPTS,
        handler_timeout: float | None = None,
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
        self.max_attempts = max_attempts
        self.counts: Counter[str] = Counter()
        self.feed: Feed = backend.feed(self, list(numbers))
        self.max_attempts = min(max_attempts, self.feed.most_attempts or max_attempts)
        clock = Clock()
        self.lanes = Lanes(threads, self.feed.capacity, self.handle, clock)
        self.watch = Watch(clock, handler_timeout, self.lanes.replace)
        self.bursts = Bursts(clock, self._replaced, self._burst_over)
        self.metrics = Metrics()
        self._keys = LaneKeys(registry)
        self._numbers = itertools.count(1)
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
        self.bursts.flush()
        left = self.lanes.drain(self.grace_seconds, self._hurry)
        self._hurry.set()
        rest = max(CLOSE_SECONDS, self.grace_seconds - (time.monotonic() - start))
        clean = self.feed.close(rest) and not left
        logger.info("worker: stopped; %s", self._said(left))
        return clean

    def submit(self, delivery: Delivery, timeout: float) -> bool:
        """Where the feed puts what it reads."""
        delivery.number = next(self._numbers)
        return self.lanes.submit(self._keys.of(delivery), delivery, timeout)

    def handle(self, delivery: Delivery, lane: Lane) -> float | None:
        """The first delivery of a lane, in a thread of the pool. A number asks for another try."""
        if self._hurry.is_set() or not self._admit(delivery):
            self._count("given back")
            return None
        # Why: what a handler leaves in context variables (a language, a request id) ends with it.
        return copy_context().run(self._handle, delivery, lane)

    def _admit(self, delivery: Delivery) -> bool:
        if not delivery.admitted:
            if not self.feed.admit(delivery):
                return False
            delivery.admitted = True
            if delivery.attempt > 1:
                self._count("delivered again")
                delivery.attempt = self.feed.attempt(delivery)
        return True

    def _handle(self, delivery: Delivery, lane: Lane) -> float | None:
        try:
            event = _event(delivery)
        except EventError as error:
            self._settle([delivery], None, Outcome(dead=f"not understood: {error}", error=error))
            return None
        if delivery.attempt > self.max_attempts:
            reason = f"begun {delivery.attempt - 1} times, never finished"
            self._settle([delivery], event, Outcome(dead=reason))
        elif event.expired:
            logger.info("call %r came after its deadline and was dropped", event.id)
            self._settle([delivery], event, Outcome(dropped="expired"))
        elif event.type == "message":
            return self._message(event, delivery, lane)
        else:
            limit = self._dispatcher.limit(event)
            outcome = self._run(event, limit, partial(self._dispatcher.handle, event))
            self._settle([delivery], event, outcome)
        return None

    def _message(self, event: Event, delivery: Delivery, lane: Lane) -> float | None:
        try:
            message = self._dispatcher.message(event)
        except (EventError, UnhandledEvent) as error:
            self._settle([delivery], event, self._dispatcher.unhandled(error))
            return None
        rule = message.rule
        fresh = not delivery.failures and not delivery.due
        if fresh and (refusal := self._dispatcher.refusal(message)) is not None:
            self._settle([delivery], event, refusal)
            return None
        if rule.debounce and fresh and not self._stop.is_set():
            self.bursts.add(message, delivery)
            return None
        deliveries, messages = [delivery], [message]
        if rule.batch > 1:
            self._fill(deliveries, messages, lane)
        outcome = self._run(event, rule.timeout, partial(self._dispatcher.run, messages))
        if outcome.faulty and delivery.failures < rule.retry:
            delivery.failures += 1
            self._count("tried again")
            self.metrics.count(event.type, "retried")
            return rule.pause(delivery.failures)
        self._settle(deliveries, event, outcome)
        return None

    def _fill(self, deliveries: list[Delivery], messages: list[Message], lane: Lane) -> None:
        """Adds to a batch what waits behind its first and may be handled with it."""
        first = messages[0]
        for delivery in lane.behind(first.rule.batch - 1):
            if delivery.attempt > 1 or delivery.failures:
                return
            try:
                event = _event(delivery)
                message = self._dispatcher.message(event) if event.type == "message" else None
            except (EventError, UnhandledEvent):
                return
            if message is None or not message.joins(first):
                return
            lane.taken += 1
            known = delivery.admitted
            if not self._admit(delivery):
                self._count("given back")
                continue
            refusal = None if known else self._dispatcher.refusal(message)
            if refusal is not None:
                self._settle([delivery], event, refusal)
                continue
            deliveries.append(delivery)
            messages.append(message)

    def _run(self, event: Event, limit: float | None, work: Callable[[], Outcome]) -> Outcome:
        """Runs a handler, with fresh connections to the databases and in the right language."""
        databases.refresh()
        if settings.DEBUG:
            reset_queries()
        _speak(event)
        self.watch.begin(event, limit)
        try:
            return work()
        finally:
            self.metrics.observe(event.type, self.watch.end())

    def _settle(
        self, deliveries: Sequence[Delivery], event: Event | None, outcome: Outcome
    ) -> None:
        what = "dead" if outcome.dead else outcome.dropped or "done"
        for delivery in deliveries:
            if outcome.dead:
                self._bury(delivery, event, outcome)
            self.feed.settle(delivery, outcome)
        self._count(what, len(deliveries))
        self.metrics.count(event.type if event else "", what, len(deliveries))

    def _bury(self, delivery: Delivery, event: Event | None, outcome: Outcome) -> None:
        if event is not None and event.id != delivery.fields.get("id"):
            event = _event(delivery)
        name = f"{event.type} {event.id}" if event else "an event"
        logger.warning("%r goes to the dead letters: %r", name, outcome.dead)
        message_dead.send_robust(
            sender=Worker, event=event, reason=outcome.dead, error=outcome.error
        )

    def _replaced(self, delivery: Delivery) -> None:
        self.feed.settle(delivery, DONE)
        self._count("replaced by a later one")
        self.metrics.count("message", "replaced")

    def _burst_over(self, delivery: Delivery) -> None:
        delivery.due = True
        self.lanes.submit(self._keys.of(delivery), delivery, timeout=None)

    def _count(self, what: str, number: int = 1) -> None:
        with self._counting:
            self.counts[what] += number

    def _said(self, left: int) -> str:
        counts = self.counts + Counter({"left for the next worker": left})
        return ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "nothing came"


def _event(delivery: Delivery) -> Event:
    return Event.from_fields(delivery.fields, delivery.attempt + delivery.failures)


def _speak(event: Event) -> None:
    """Turns to the language of the connection, if its `meta` tells one that Django knows."""
    said = event.meta.get("language") if event.meta else None
    if not isinstance(said, str):
        return
    try:
        translation.activate(translation.get_supported_language_variant(said))
    except LookupError:
        return
