"""What the broker's count of deliveries says of an event, and which of the suspected may begin."""

from __future__ import annotations

import random

from django_jackfield.worker.feed import Delivery

LIMIT = 20
"""`x-delivery-limit` of the events' queues: the broker buries what was delivered more often."""


class Caution:
    """Keeps an event that ends its process apart from those that are only delivered with it.

    Why: RabbitMQ counts deliveries, not beginnings. Whatever a worker holds when it is killed is
    counted, so a few kills say nothing yet. After a fifth of the tries an event is delivered with
    none of its partition behind it. After two fifths it also begins alone: of the events so
    suspected one is handled at a time, drawn by lot, so that each of the others is sooner or
    later done before the one that kills.
    """

    def __init__(self, max_attempts: int) -> None:
        tries = min(max_attempts, LIMIT)
        self.careful_from = max(1, tries // 5)
        self.alone_from = max(1, tries * 2 // 5)
        self._waiting: list[Delivery] = []
        self._begun: Delivery | None = None

    def suspects(self, delivery: Delivery) -> bool:
        """Whether it may only begin when it is drawn. It is then kept here until that."""
        if delivery.attempt <= self.alone_from:
            return False
        self._waiting.append(delivery)
        return True

    @property
    def may_draw(self) -> bool:
        """Whether some wait and none of them is being handled."""
        return bool(self._waiting) and self._begun is None

    def draw(self) -> Delivery:
        """The one that begins. Until it is settled there is no other."""
        place = random.randrange(len(self._waiting))  # noqa: S311 (no secret)
        self._begun = self._waiting.pop(place)
        return self._begun

    def settled(self, delivery: Delivery) -> None:
        """Something is done; perhaps the one that was drawn."""
        if delivery is self._begun:
            self._begun = None

    def forget(self) -> None:
        """The connection is gone, and all that was delivered over it comes again."""
        self._waiting.clear()
        self._begun = None
