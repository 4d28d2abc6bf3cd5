"""Events from RabbitMQ quorum queues: one thread owns the connection, the broker is the lease."""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel

from django_jackfield.backends.amqp import FAILURES, Link, turn
from django_jackfield.dispatch import Outcome
from django_jackfield.worker.caution import Caution
from django_jackfield.worker.feed import Backoff, Delivery, Outage, Sink
from django_jackfield.worker.redis import ranges

if TYPE_CHECKING:
    from django_jackfield.backends.rabbitmq import RabbitMQBackend

logger = logging.getLogger("django_jackfield.worker")

PREFETCH = 8
"""Of each partition whose first event is above suspicion. RabbitMQ counts what it hands out, not
what is begun: what waits here while workers are killed comes nearer to the delivery limit."""
CAREFUL, WIDE = "careful", "wide"
RESOURCE_LOCKED = 405
LOCKED_SECONDS = 0.05
DRAW_SECONDS = 0.2
"""So long the others that are suspected have to arrive before one of them is drawn."""
HEARTBEAT_SECONDS = 15
ROUND_SECONDS = 1.0
REMEMBERED = 10_000
GATHER_SECONDS = 0.003


class RabbitMQFeed:
    """Consumes every partition; the single active consumer of each queue is its lease.

    Two consumers stand for a worker in the line of each queue, a careful one with a prefetch of
    one, and right behind it a wide one. The careful one is cancelled when an event has come that
    was not delivered in vain time and again (`caution.py`); the broker then goes on with the next
    in line. The event stays in hand, so nothing is delivered twice, and nothing of another worker
    can come between.

    A broken connection gives all that was not acknowledged back to the broker. What waits in a
    lane is then dropped, it comes again in order; what a handler was running when it happened is
    remembered in `_finished` with its outcome, and acknowledged when it comes again.
    """

    capacity: int | None = None

    def __init__(self, backend: RabbitMQBackend, sink: Sink, partitions: Sequence[int]) -> None:
        self.backend = backend
        self.sink = sink
        self.numbers = list(partitions)
        self.outage = Outage(backend.where)
        self.stopping = threading.Event()
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rabbitmq", daemon=True)
        self._settled: queue.SimpleQueue[tuple[Delivery, Outcome]] = queue.SimpleQueue()
        self._finished: OrderedDict[str, Outcome] = OrderedDict()
        self._link: Link | None = None
        self._urgent = threading.Event()
        self._awake = False
        self._generation = 0
        self._tags: list[str] = []
        self._trusted: list[str] = []
        self._caution = Caution(sink.max_attempts)
        self._drawing = False

    def describe(self) -> str:
        return f"{self.backend.where}, partitions {ranges(self.numbers)}"

    def start(self) -> None:
        self._thread.start()

    def admit(self, delivery: Delivery) -> bool:
        if delivery.tag[0] != self._generation:
            return False
        outcome = self._finished.pop(str(delivery.fields.get("id", "")), None)
        if outcome is not None:
            self.settle(delivery, outcome)
        return outcome is None

    def attempt(self, delivery: Delivery) -> int:
        """RabbitMQ counts deliveries: what waited behind others may have been tried less often."""
        return delivery.attempt

    def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        self._settled.put((delivery, outcome))
        if outcome.answer is not None:
            self._urgent.set()
        if not self._awake:
            self._awake = True
            self._wake()

    def stop_reading(self) -> None:
        self.stopping.set()
        self._wake()

    def close(self, timeout: float) -> bool:
        self.closing.set()
        self._wake()
        self._thread.join(max(0.1, timeout))
        return not self._thread.is_alive() and self._settled.empty()

    def _wake(self) -> None:
        link = self._link
        if link is not None:
            with suppress(exceptions.AMQPError, AttributeError):
                link.connection.add_callback_threadsafe(lambda: None)

    def _run(self) -> None:
        backoff = Backoff()
        while not self.closing.is_set():
            try:
                link = Link(self.backend.parameters(HEARTBEAT_SECONDS), self.backend.config.timeout)
                channel = self._consume(link)
                self._link = link
                self.outage.over()
                backoff.reset()
                self._serve(link, channel)
                return
            except FAILURES as error:
                self._link = None
                self._generation += 1
                self.outage.began(error)
                backoff.wait(self.closing.wait)

    def _consume(self, link: Link) -> BlockingChannel:
        link.declare(self.backend.topology)
        channel = link.connection.channel()
        self._tags, self._trusted, self._drawing = [], [], False
        self._caution.forget()
        # Whoever is killed soon and often shall not begin with the same partitions each time.
        numbers = random.sample(self.numbers, len(self.numbers))
        with self._undisturbed(link):
            for kind, prefetch in ((CAREFUL, 1), (WIDE, PREFETCH)):
                channel.basic_qos(prefetch_count=prefetch)
                for number in [] if self.stopping.is_set() else numbers:
                    queue_name = f"{self.backend.topology.events}.{number}"
                    tag = f"{kind}.{number}"
                    channel.basic_consume(queue_name, self._arrived, consumer_tag=tag)
                    self._tags.append(tag)
        return channel

    @contextmanager
    def _undisturbed(self, link: Link) -> Iterator[None]:
        """While one worker gets into line no other does, so each stands there in one piece.

        An exclusive queue is the lock: it is gone with the connection, however that ends.
        """
        name = self.backend.topology.workers
        while True:
            channel = link.connection.channel()
            try:
                channel.queue_declare(name, exclusive=True)
                break
            except exceptions.ChannelClosedByBroker as error:
                if error.reply_code != RESOURCE_LOCKED:
                    raise
                link.connection.sleep(LOCKED_SECONDS)
        yield
        channel.queue_delete(name)
        channel.close()

    def _arrived(
        self, _channel: BlockingChannel, method: Any, properties: Any, body: bytes
    ) -> None:
        headers = properties.headers or {}
        fields: dict[str, str | bytes] = {
            name: value for name, value in headers.items() if isinstance(value, str | bytes)
        }
        fields |= {
            "id": properties.message_id or "",
            "type": properties.type or "",
            "reply_to": properties.reply_to or "",
            "data": body,
        }
        returned = headers.get("x-delivery-count", 0)
        attempt = 1 + (returned if isinstance(returned, int) else 0)
        if method.redelivered:
            attempt = max(attempt, 2)
        delivery = Delivery(fields, attempt, (self._generation, method.delivery_tag))
        if attempt <= self._caution.careful_from and method.consumer_tag.startswith(CAREFUL):
            self._trusted.append(method.consumer_tag)
        if not self._caution.suspects(delivery):
            self.sink.submit(delivery, timeout=0.0)

    def _serve(self, link: Link, channel: BlockingChannel) -> None:
        """Rounds of input and output until closed. Every call on the connection happens here."""
        while True:
            last = self.closing.is_set()
            turn(link.connection, 0.0 if last else ROUND_SECONDS)
            self._settle_all(link, channel)
            if self.stopping.is_set():
                self._leave(channel)
            while self._trusted:
                self._cancel(channel, self._trusted.pop())
            if self._caution.may_draw and not self._drawing:
                self._drawing = True
                link.connection.call_later(DRAW_SECONDS, self._draw)
            if last:
                self._link = None
                link.close()
                return

    def _leave(self, channel: BlockingChannel) -> None:
        """Gets out of line, from the end: nothing may move up meanwhile."""
        while self._tags:
            self._cancel(channel, self._tags[-1])

    def _cancel(self, channel: BlockingChannel, tag: str) -> None:
        if tag in self._tags:
            self._tags.remove(tag)
            channel.basic_cancel(tag)

    def _draw(self) -> None:
        self._drawing = False
        if self._caution.may_draw and not self.stopping.is_set():
            self.sink.submit(self._caution.draw(), timeout=0.0)

    def _settle_all(self, link: Link, channel: BlockingChannel) -> None:
        if self._awake and not self.closing.is_set():
            # A round of input and output for each event would cost more than its handler; answers
            # do not wait.
            self._urgent.wait(GATHER_SECONDS)
            self._urgent.clear()
        # Before the first look: who settles from here on wakes this thread again.
        self._awake = False
        while True:
            try:
                delivery, outcome = self._settled.get_nowait()
            except queue.Empty:
                return
            if delivery.tag[0] != self._generation:
                self._remember(delivery, outcome)
                continue
            try:
                self._settle(link, channel, delivery, outcome)
            except FAILURES:
                self._remember(delivery, outcome)
                raise

    def _settle(
        self, link: Link, channel: BlockingChannel, delivery: Delivery, outcome: Outcome
    ) -> None:
        """Answers and dead letters first, then acknowledges."""
        event_id = str(delivery.fields["id"])
        reply_to = str(delivery.fields.get("reply_to") or "")
        if outcome.answer is not None and reply_to:
            properties = pika.BasicProperties(correlation_id=event_id)
            channel.basic_publish("", reply_to, outcome.answer, properties)
        if outcome.dead:
            link.publish(self.backend.topology.dead, "", *_letter(delivery, outcome))
        channel.basic_ack(delivery.tag[1])
        self._caution.settled(delivery)

    def _remember(self, delivery: Delivery, outcome: Outcome) -> None:
        """Keeps the outcome of an event that could not be acknowledged and will come again."""
        self._finished[str(delivery.fields["id"])] = outcome
        while len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)


def _letter(delivery: Delivery, outcome: Outcome) -> tuple[bytes, pika.BasicProperties]:
    body = delivery.fields["data"]
    headers = {
        name: value
        for name, value in delivery.fields.items()
        if value and name not in ("id", "type", "data", "reply_to")
    }
    properties = pika.BasicProperties(
        message_id=str(delivery.fields["id"]),
        type=str(delivery.fields["type"]),
        headers={"reason": outcome.dead, **headers},
        delivery_mode=2,
    )
    return body if isinstance(body, bytes) else body.encode(), properties
