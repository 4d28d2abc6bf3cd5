"""Which events may be what ends the workers, by the broker's count of deliveries in vain."""

from __future__ import annotations

import random
from collections import deque

from django_jackfield.worker.feed import Delivery


class Caution:
    """Lets an event that may be the one that ends its process begin without others like it.

    Why: RabbitMQ counts deliveries, not beginnings. Whatever a worker holds when it is killed is
    counted, so a few kills say nothing yet. After a fifth of the tries an event is suspected, and
    of all that are suspected one is handled at a time. Partitions take turns in an order that is
    another one after every second kill, and the same backwards in between: who was behind the one
    that kills is before it the next time, so it alone comes to the end of its tries. Within a
    partition the order stays.
    """

    def __init__(self, tries: int) -> None:
        self.trusted_attempts = max(1, tries // 5)
        self._waiting: dict[str, deque[Delivery]] = {}
        self._begun: Delivery | None = None

    def keeps(self, delivery: Delivery, partition: str) -> bool:
        """Whether it has to wait: it is suspected, or one before it in its partition waits."""
        if self._trusts(delivery) and partition not in self._waiting:
            return False
        self._waiting.setdefault(partition, deque()).append(delivery)
        return True

    @property
    def may_draw(self) -> bool:
        """Whether some wait and none of them is being handled."""
        return bool(self._waiting) and self._begun is None

    def draw(self) -> list[Delivery]:
        """The one that begins, and those behind it that only waited for it."""
        partition = self._partition()
        waiting = self._waiting[partition]
        self._begun = waiting.popleft()
        drawn = [self._begun]
        while waiting and self._trusts(waiting[0]):
            drawn.append(waiting.popleft())
        if not waiting:
            del self._waiting[partition]
        return drawn

    def clear(self, delivery: Delivery) -> bool:
        """Told when an event is settled, or was survived for long; whether the lot was its."""
        drawn = delivery is self._begun
        if drawn:
            self._begun = None
        return drawn

    def forget(self) -> None:
        """The connection is gone, and all that was delivered over it comes again."""
        self._waiting.clear()
        self._begun = None

    def _partition(self) -> str:
        """Whose turn it is. The one that kills was there each time: its count is the highest."""
        kills = max(waiting[0].attempt for waiting in self._waiting.values())

        def turn(partition: str) -> float:
            # The same in every process: the next one has to know which order this one had.
            return random.Random(f"{partition} of {kills // 2}").random()  # noqa: S311

        return (max if kills % 2 else min)(self._waiting, key=turn)

    def _trusts(self, delivery: Delivery) -> bool:
        return delivery.attempt <= self.trusted_attempts
