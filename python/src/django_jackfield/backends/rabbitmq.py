"""Commands and events over RabbitMQ, with pika."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from django_jackfield.backends.base import BaseBackend
from django_jackfield.command import Command
from django_jackfield.conf import Config
from django_jackfield.dead import Letter, Wanted
from django_jackfield.errors import AskTimeout, PublishError

try:
    import pika
    from pika import exceptions
except ImportError as error:
    raise ImproperlyConfigured(
        "The rabbitmq backend needs pika: pip install 'django-jackfield[rabbitmq]'"
    ) from error

from django_jackfield.backends.amqp import FAILURES, Link, Topology

if TYPE_CHECKING:
    from django_jackfield.worker.feed import Feed, Sink

STALE = (
    exceptions.StreamLostError,
    exceptions.ChannelWrongStateError,
    exceptions.ConnectionWrongStateError,
    exceptions.ConnectionClosed,
    exceptions.ChannelClosed,
    exceptions.AMQPHeartbeatTimeout,
)
"""How a connection says that it was dead before it was used: every idle WSGI process gets there."""

_links = threading.local()


class RabbitMQBackend(BaseBackend):
    """OPTIONS: `url` (amqp:// or amqps://), `heartbeat` (seconds, 60)."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"url", "heartbeat"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        url = config.options.get("url")
        if not isinstance(url, str) or not url.startswith(("amqp://", "amqps://")):
            raise ImproperlyConfigured(
                f"JACKFIELD[{config.alias!r}]['OPTIONS']: set 'url' to amqp://user:password@host/, "
                f"not {url!r}."
            )
        self.url = url
        self.topology = Topology(config.prefix, config.partitions)

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        return FAILURES

    @property
    def where(self) -> str:
        parts = urlsplit(self.url)
        return f"rabbitmq at {parts.hostname}:{parts.port or 5672}"

    def parameters(self, heartbeat_seconds: int | None = None) -> pika.URLParameters:
        """How to connect: once, within TIMEOUT."""
        parameters = pika.URLParameters(self.url)
        parameters.connection_attempts = 1
        parameters.socket_timeout = self.config.timeout
        parameters.stack_timeout = self.config.timeout
        parameters.blocked_connection_timeout = self.config.timeout
        parameters.heartbeat = heartbeat_seconds or self.config.options.get("heartbeat", 60)
        return parameters

    def link(self) -> Link:
        """The connection of this thread in this process."""
        held: dict[object, Link] = _links.__dict__.setdefault("held", {})
        link = held.get(self.key)
        if link is None or not link.usable:
            link = held[self.key] = Link(self.parameters(), self.config.timeout)
        return link

    def _send(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self._publish(command)

    def _publish(self, command: Command) -> None:
        exchange = self.topology.commands
        routing_key = str(command.partition(self.config.partitions))
        properties = pika.BasicProperties(
            message_id=command.id, type=command.method, delivery_mode=2
        )
        fresh = declared = False
        while True:
            try:
                link = self.link()
                link.publish(exchange, routing_key, command.payload, properties)
                return
            except exceptions.NackError as error:
                raise PublishError(f"{self.where} refused a command: its queue is full") from error
            except (*STALE, exceptions.UnroutableError) as error:
                if _nowhere(error) and not declared:
                    declared = True
                    self.link().declare(self.topology)
                elif isinstance(error, STALE) and not fresh:
                    fresh = True
                    self.drop_link()
                else:
                    self.drop_link()
                    raise

    def _ask(self, command: Command, timeout: float) -> bytes:
        for last in (False, True):
            try:
                raw = self.link().ask(
                    self.topology.commands,
                    str(command.partition(self.config.partitions)),
                    command,
                    timeout,
                )
                break
            except (*STALE, exceptions.UnroutableError) as error:
                if last:
                    raise
                if _nowhere(error):
                    self.link().declare(self.topology)
                else:
                    self.drop_link()
        if raw is None:
            raise AskTimeout(
                f"no reply to {command.method} within {timeout:g} s: is jackfield running, with "
                f"the same PREFIX and PARTITIONS?"
            )
        return raw

    def drop_link(self) -> None:
        """Closes the connection of this thread."""
        link = _links.__dict__.setdefault("held", {}).pop(self.key, None)
        if link is not None:
            link.close()

    def feed(self, sink: Sink, partitions: Sequence[int]) -> Feed:
        from django_jackfield.worker.rabbitmq import RabbitMQFeed

        return RabbitMQFeed(self, sink, partitions)

    def dead_letters(self, limit: int) -> list[dict[str, str]]:
        with self._guarded():
            return self.link().peek(self.topology.dead, limit)

    def settle_dead(self, wanted: Wanted) -> list[tuple[Letter, str]]:
        with self._guarded():
            return self.link().settle_dead(self.topology, wanted)

    def close(self) -> None:
        self.drop_link()


def _nowhere(error: Exception) -> bool:
    """Whether the exchange or the queue does not exist yet."""
    if isinstance(error, exceptions.ChannelClosed):
        return error.reply_code == 404
    return isinstance(error, exceptions.UnroutableError)
