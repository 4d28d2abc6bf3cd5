"""What a backend is: a way for commands to reach the server, guarded by a breaker."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from django_jackfield.breaker import Breaker
from django_jackfield.command import Command
from django_jackfield.conf import Config
from django_jackfield.dead import Letter, Wanted
from django_jackfield.errors import AskError, JackfieldError, PublishError
from django_jackfield.process import PerProcess

if TYPE_CHECKING:
    from django_jackfield.worker.feed import Feed, Sink

breakers: PerProcess[Breaker] = PerProcess()


class BaseBackend:
    """The face of a queue. A new one overrides `_send`, `_ask`, and `feed` if it has a worker.

    Invariant: cheap to make and free of I/O until used; Django keeps one object per thread.
    What is costly lives in a `PerProcess` store under `self.key`.
    """

    OPTIONS: ClassVar[frozenset[str]] = frozenset()
    FOR_DEVELOPMENT: ClassVar[bool] = False

    def __init__(self, config: Config) -> None:
        self.config = config
        self.key = (
            config.backend,
            config.alias,
            config.prefix,
            repr(sorted(config.options.items())),
        )
        self._breaker: tuple[int, Breaker | None] = (0, None)

    # What a queue implements.

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions by which the driver tells that the queue is not there."""
        return (OSError,)

    def _send(self, commands: Sequence[Command]) -> None:
        raise NotImplementedError

    def _ask(self, command: Command, timeout: float) -> bytes:
        raise NotImplementedError(f"{self.config.backend} has no way back for an answer")

    def feed(self, sink: Sink, partitions: Sequence[int]) -> Feed:
        """Where a worker reads events."""
        raise NotImplementedError(
            f"{self.config.backend} carries no events: a worker needs redis, embedded or rabbitmq"
        )

    def dead_letters(self, limit: int) -> list[dict[str, str]]:
        """What could not be done, oldest first."""
        raise NotImplementedError(f"{self.config.backend} keeps no dead letters")

    def settle_dead(self, wanted: Wanted) -> list[tuple[Letter, str]]:
        """Puts dead letters back or throws them away; gives each that was meant, and what was done.

        A letter leaves the dead ones only when it is surely in the queue.
        """
        raise NotImplementedError(f"{self.config.backend} keeps no dead letters")

    def close(self) -> None:
        """Lets go of what this process holds open for this config."""

    # What callers use.

    @property
    def breaker(self) -> Breaker:
        """The breaker that the threads of this process share."""
        pid, breaker = self._breaker
        if pid != os.getpid() or breaker is None:
            breaker = breakers.get_or_make(self.key, lambda: Breaker(*self.config.breaker))
            self._breaker = (os.getpid(), breaker)
        return breaker

    def send(self, commands: Sequence[Command]) -> None:
        """Hands commands to the queue, as one pipeline. Raises PublishError."""
        breaker = self.breaker
        if breaker.closed:
            # As `_guarded`, without the cost of a context manager.
            start = time.monotonic()
            try:
                self._send(commands)
            except JackfieldError:
                breaker.succeeded()  # It refused, so it is there.
                raise
            except self.failures as error:
                raise self._failed(breaker, start, error) from error
            breaker.succeeded()
        else:
            with self._guarded():
                self._send(commands)

    def ask(self, command: Command, timeout: float | None = None) -> dict[str, Any]:
        """Asks the server and waits. Raises AskTimeout, AskError, PublishError."""
        with self._guarded():
            raw = self._ask(command, self.config.timeout if timeout is None else timeout)
        reply = json.loads(raw)
        if "error" in reply:
            raise AskError(reply["error"].get("code", 0), reply["error"].get("message", ""))
        result: dict[str, Any] = reply["result"]
        return result

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        breaker = self.breaker
        if not breaker.allows():
            raise PublishError(
                f"{self.where} failed a moment ago and is tried again within "
                f"{breaker.pause_seconds:g} s (BREAKER)"
            )
        start = time.monotonic()
        try:
            yield
        except JackfieldError:
            breaker.succeeded()
            raise
        except self.failures as error:
            raise self._failed(breaker, start, error) from error
        breaker.succeeded()

    def _failed(self, breaker: Breaker, start: float, error: Exception) -> PublishError:
        breaker.failed(slow=time.monotonic() - start >= self.config.timeout / 2)
        return PublishError(f"{self.where} does not take commands: {error!r}")

    @property
    def where(self) -> str:
        """The queue in words, without secrets."""
        return f"the queue of JACKFIELD[{self.config.alias!r}]"
