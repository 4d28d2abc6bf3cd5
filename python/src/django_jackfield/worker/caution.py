"""Which events may be what ends the workers, by the broker's count of deliveries in vain."""

from __future__ import annotations

import random
from collections import deque

from django_jackfield.worker.feed import Delivery


class Caution:
    """Lets an event that may be the one that ends its process begin alone.

    Why: RabbitMQ counts deliveries, not beginnings. Whatever a worker holds when it is killed is
    counted, so a few kills say nothing yet. After half of the tries an event is suspected. Those
    that are suspected come first, or whoever is killed soon and often would never come to them,
    one at a time, and all others wait. Partitions take turns in an order that is another one
    after every second kill, and the same backwards in between: who was behind the one that kills
    is before it the next time, so it alone comes to the end of its tries. Within a partition the
    order stays.
    """

    def __init__(self, tries: int) -> None:
        self.trusted_attempts = max(1, tries // 2)
        self._waiting: dict[str, deque[Delivery]] = {}
        self._begun: Delivery | None = None

    def take(self, delivery: Delivery, partition: str) -> None:
        """Takes an event until it may begin."""
        self._waiting.setdefault(partition, deque()).append(delivery)

    def ready(self) -> list[Delivery]:
        """What may begin: all, or one that is suspected if there is none at work."""
        if self._begun is not None or not self._waiting:
            return []
        suspected = [one for one, waiting in self._waiting.items() if self._suspects(waiting[0])]
        if not suspected:
            ready = [delivery for waiting in self._waiting.values() for delivery in waiting]
            self._waiting.clear()
            return ready
        partition = self._next(suspected)
        waiting = self._waiting[partition]
        self._begun = waiting.popleft()
        if not waiting:
            del self._waiting[partition]
        return [self._begun]

    def clear(self, delivery: Delivery) -> bool:
        """Told when an event is settled, or was survived for long; whether others waited for it."""
        begun = delivery is self._begun
        if begun:
            self._begun = None
        return begun

    def forget(self) -> None:
        """The connection is gone, and all that was delivered over it comes again."""
        self._waiting.clear()
        self._begun = None

    def _next(self, partitions: list[str]) -> str:
        """Whose turn it is. The one that kills was there each time: its count is the highest."""
        kills = max(self._waiting[one][0].attempt for one in partitions)

        def turn(partition: str) -> float:
            # The same in every process: the next one has to know which order this one had.
            return random.Random(f"{partition} of {kills // 2}").random()  # noqa: S311

        return (max if kills % 2 else min)(partitions, key=turn)

    def _suspects(self, delivery: Delivery) -> bool:
        return delivery.attempt > self.trusted_attempts
