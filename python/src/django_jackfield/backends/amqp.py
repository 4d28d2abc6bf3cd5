"""A connection to RabbitMQ that belongs to one thread, and the names both sides declare."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from django_jackfield.command import Command
from django_jackfield.dead import Letter, Wanted, born, command_partition, partition_of

DECLARE_SECONDS = 30.0
LOOKS = 100
LOOK_SECONDS = 0.01
"""So often it is looked whether a queue has its letters again, with a pause after each time."""
REPLY_TO = "amq.rabbitmq.reply-to"
FAILURES: tuple[type[Exception], ...] = (
    exceptions.AMQPError,
    exceptions.ChannelError,
    AMQPConnectorException,
    AssertionError,
    OSError,
)
"""How pika says that the broker is gone; it asserts where a stream dies in mid-write."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The exchanges and queues of spec/app-link.md."""

    prefix: str
    partitions: int

    @property
    def commands(self) -> str:
        """The exchange of commands."""
        return f"{self.prefix}.commands"

    @property
    def events(self) -> str:
        """The exchange of events."""
        return f"{self.prefix}.events"

    @property
    def dead(self) -> str:
        """The exchange, and the queue, of dead letters."""
        return f"{self.prefix}.dead"

    def declare(self, channel: BlockingChannel) -> None:
        """Declares all of it. Both sides do, with the same arguments, so either may come first."""
        quorum: dict[str, Any] = {"x-queue-type": "quorum"}
        channel.exchange_declare(self.dead, "fanout", durable=True)
        channel.queue_declare(self.dead, durable=True, arguments=quorum)
        channel.queue_bind(self.dead, self.dead)
        single = quorum | {
            "x-single-active-consumer": True,
            "x-dead-letter-exchange": self.dead,
        }
        bounded = single | {
            "x-overflow": "reject-publish",
            "x-max-length": 100_000,
            "x-delivery-limit": 20,
        }
        for exchange, arguments in ((self.commands, single), (self.events, bounded)):
            channel.exchange_declare(exchange, "direct", durable=True)
            for partition in range(self.partitions):
                queue = f"{exchange}.{partition}"
                channel.queue_declare(queue, durable=True, arguments=arguments)
                channel.queue_bind(queue, exchange, routing_key=str(partition))


def turn(connection: pika.BlockingConnection, seconds: float) -> None:
    """One round of input and output; pika takes fractions of a second, its stubs say int."""
    loop: Any = connection
    loop.process_data_events(time_limit=seconds)


def _letter(properties: pika.BasicProperties, body: bytes, partitions: int) -> Letter:
    headers: dict[str, Any] = dict(properties.headers or {})
    # Events have their version among the headers; commands have no headers of their own.
    is_event = "v" in headers
    if is_event:
        key = str(headers.get("client") or headers.get("channel") or headers.get("user") or "")
        partition = partition_of(key, partitions)
    else:
        partition = command_partition(body, partitions)
    died = headers.get("x-death") or [{}]
    # Who wrote no time wrote it after the id was made.
    written = properties.timestamp or died[0].get("time") or born(properties.message_id or "")
    return Letter(
        id=properties.message_id or "",
        reason=str(headers.get("reason") or died[0].get("reason") or ""),
        partition=partition,
        is_event=is_event,
        time=written.timestamp() if isinstance(written, datetime) else float(written),
    )


class Link:
    """A BlockingConnection with a confirming channel. Not shared between threads or processes."""

    def __init__(self, parameters: pika.URLParameters, timeout: float) -> None:
        self.pid = os.getpid()
        self.timeout = timeout
        self.connection = pika.BlockingConnection(parameters)
        self._channel: BlockingChannel | None = None

    @property
    def usable(self) -> bool:
        """Whether this process made it and nobody closed it."""
        return self.pid == os.getpid() and bool(self.connection.is_open)

    @property
    def channel(self) -> BlockingChannel:
        """An open channel in confirm mode."""
        if self._channel is None or not self._channel.is_open:
            self._channel = self.connection.channel()
            self._channel.confirm_delivery()
        return self._channel

    def publish(
        self, exchange: str, routing_key: str, body: bytes, properties: pika.BasicProperties
    ) -> None:
        """Publishes and waits for the confirm, at most `timeout` seconds."""
        with self.deadline(self.timeout):
            self.channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)

    def ask(
        self, exchange: str, routing_key: str, command: Command, timeout: float
    ) -> bytes | None:
        """Publishes a command and waits for its reply (direct reply-to)."""
        replies: list[bytes] = []

        def keep(_channel: Any, _method: Any, properties: Any, body: bytes) -> None:
            if properties.correlation_id == command.id:
                replies.append(body)

        tag = self.channel.basic_consume(REPLY_TO, keep, auto_ack=True)
        properties = pika.BasicProperties(
            message_id=command.id,
            type=command.method,
            delivery_mode=2,
            reply_to=REPLY_TO,
            correlation_id=command.id,
        )
        late = self.connection.call_later(timeout, lambda: replies.append(b""))
        try:
            self.publish(exchange, routing_key, command.payload, properties)
            while not replies:
                turn(self.connection, timeout)
        finally:
            with suppress(exceptions.AMQPError):
                self.connection.remove_timeout(late)
                self.channel.basic_cancel(tag)
        return replies[0] or None

    def declare(self, topology: Topology) -> None:
        """Declares the topology, which takes longer than a publish the first time."""
        with self.deadline(DECLARE_SECONDS):
            topology.declare(self.channel)

    def peek(self, queue: str, limit: int) -> list[dict[str, str]]:
        """The first messages of a queue, which stay where they are."""
        letters: list[dict[str, str]] = []
        channel = self.connection.channel()
        try:
            whole = channel.queue_declare(queue, passive=True).method.message_count
            for _ in range(min(limit, whole)):
                method, properties, body = channel.basic_get(queue)
                if method is None or properties is None:
                    break
                headers = {k: str(v) for k, v in (properties.headers or {}).items()}
                basics = {"id": properties.message_id or "", "type": properties.type or ""}
                letters.append(headers | basics | {"data": (body or b"").decode(errors="replace")})
            if letters:
                self._give_back(channel, queue, whole)
        finally:
            channel.close()
        return letters

    def settle_dead(self, topology: Topology, wanted: Wanted) -> list[tuple[Letter, str]]:
        """Puts dead letters back or throws them away; the others stay where they are."""
        done: list[tuple[Letter, str]] = []
        channel = self.connection.channel()
        try:
            whole = channel.queue_declare(topology.dead, passive=True).method.message_count
            looked = settled = 0
            for _ in range(whole):
                if wanted.limit is not None and len(done) >= wanted.limit:
                    break
                method, properties, body = channel.basic_get(topology.dead)
                if method is None or properties is None:
                    break
                looked += 1
                letter = _letter(properties, body or b"", topology.partitions)
                if not wanted.fits(letter):
                    continue
                verdict = wanted.verdict(letter)
                if verdict == "replayed":
                    self._replay(topology, wanted, letter, (properties, body or b""))
                if verdict in ("dropped", "replayed"):
                    channel.basic_ack(method.delivery_tag)
                    settled += 1
                done.append((letter, verdict))
            if looked > settled:
                self._give_back(channel, topology.dead, whole - settled)
        finally:
            # What was not acknowledged goes back to where it was, at the latest with this.
            channel.close()
        return done

    def _give_back(self, channel: BlockingChannel, queue: str, whole: int) -> None:
        """Gives back what was only looked at, and waits until the queue has it.

        Why: the broker does so by itself when the channel is closed, but later, and whoever looks
        in between does not find it.
        """
        channel.basic_nack(0, multiple=True, requeue=True)
        for _ in range(LOOKS):
            # Fewer for long: somebody else takes letters at the same time.
            if channel.queue_declare(queue, passive=True).method.message_count >= whole:
                return
            self.connection.sleep(LOOK_SECONDS)

    def _replay(
        self,
        topology: Topology,
        wanted: Wanted,
        letter: Letter,
        message: tuple[pika.BasicProperties, bytes],
    ) -> None:
        properties, body = message
        headers = {
            name: value
            for name, value in (properties.headers or {}).items()
            if name != "reason" and not name.startswith("x-")
        }
        again = pika.BasicProperties(
            message_id=wanted.id_of(letter),
            type=properties.type,
            headers=headers or None,
            delivery_mode=2,
        )
        exchange = topology.events if letter.is_event else topology.commands
        self.publish(exchange, str(letter.partition), body, again)

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Ends the connection if the block takes longer.

        Why: a BlockingConnection waits without bound for a broker that accepts bytes and says
        nothing; pika's public timers do not fire inside such a wait.
        """
        impl = self.connection._impl  # type: ignore[attr-defined]
        error = exceptions.ConnectionBlockedTimeout(f"no answer within {seconds:g} s")
        timer = impl._adapter_call_later(seconds, lambda: impl._terminate_stream(error))
        try:
            yield
        finally:
            impl._adapter_remove_timeout(timer)

    def close(self) -> None:
        """Closes the connection, unless it belongs to the parent of a fork."""
        if self.pid == os.getpid() and self.connection.is_open:
            with suppress(exceptions.AMQPError, OSError), self.deadline(self.timeout):
                self.connection.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()
