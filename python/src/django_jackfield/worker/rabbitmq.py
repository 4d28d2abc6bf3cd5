"""Events from RabbitMQ quorum queues: one thread owns the connection, the broker is the lease."""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
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

PREFETCH = 4
"""Of each partition. RabbitMQ counts what it hands out, not what is begun: what waits here while
workers are killed one after the other comes nearer to the delivery limit with each of them.

Why the same for all: a quorum queue puts what is given back behind what was given back before.
Who took fewer than the last one had would take them in another order.
"""
MOST_ATTEMPTS = 15
"""The queues' own limit is 20. What waited behind an event that ends each worker was delivered as
often as that; the rest is for it."""
ALONE_SECONDS = 5.0
"""Who began alone and has not ended the process until then holds up no other."""
HEARTBEAT_SECONDS = 15
ROUND_SECONDS = 1.0
REMEMBERED = 10_000
GATHER_SECONDS = 0.003


class RabbitMQFeed:
    """Consumes every partition; the single active consumer of each queue is its lease.

    A broken connection gives all that was not acknowledged back to the broker. What waits in a
    lane is then dropped, it comes again in order; what a handler was running when it happened is
    remembered in `_finished` with its outcome, and acknowledged when it comes again.
    """

    capacity: int | None = None
    most_attempts: int | None = MOST_ATTEMPTS

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
        self._caution = Caution(min(sink.max_attempts, MOST_ATTEMPTS))
        self._in_hand: Counter[str] = Counter()

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
        """RabbitMQ counts deliveries. Who was behind another when it came is not at its end."""
        _, _, _, behind = delivery.tag
        return min(delivery.attempt, self.sink.max_attempts) if behind else delivery.attempt

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
        channel.basic_qos(prefetch_count=PREFETCH)
        self._tags = []
        self._caution.forget()
        self._in_hand.clear()
        if not self.stopping.is_set():
            # Whoever is killed soon and often shall not begin with the same ones each time.
            for number in random.sample(self.numbers, len(self.numbers)):
                queue_name = f"{self.backend.topology.events}.{number}"
                self._tags.append(channel.basic_consume(queue_name, self._arrived))
        return channel

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
        partition = method.routing_key
        tag = (self._generation, method.delivery_tag, partition, self._in_hand[partition] > 0)
        self._in_hand[partition] += 1
        self._caution.take(Delivery(fields, attempt, tag), partition)

    def _serve(self, link: Link, channel: BlockingChannel) -> None:
        """Rounds of input and output until closed. Every call on the connection happens here."""
        while True:
            last = self.closing.is_set()
            turn(link.connection, 0.0 if last else ROUND_SECONDS)
            self._begin(link)
            self._settle_all(link, channel)
            if self.stopping.is_set():
                for tag in self._tags:
                    channel.basic_cancel(tag)
                self._tags = []
            self._begin(link)
            if last:
                self._link = None
                link.close()
                return

    def _begin(self, link: Link) -> None:
        """Hands over what may begin."""
        ready = self._caution.ready()
        if ready and ready[0].attempt > self._caution.trusted_attempts:
            link.connection.call_later(ALONE_SECONDS, partial(self._caution.clear, ready[0]))
        for delivery in ready:
            self.sink.submit(delivery, timeout=0.0)

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
        _, number, partition, _ = delivery.tag
        channel.basic_ack(number)
        self._in_hand[partition] -= 1
        self._caution.clear(delivery)

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
