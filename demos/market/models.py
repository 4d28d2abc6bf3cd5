"""What the feed is asked for. Prices are in no database: the server keeps the last of each."""

from __future__ import annotations

from django.db import models

RATES = (100, 1_000, 5_000, 10_000)


class Pace(models.Model):
    """How many trades there are in a second; there is one row."""

    rate = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.rate:,} a second"

    @classmethod
    def now(cls) -> int:
        """What was last asked for."""
        return cls.objects.values_list("rate", flat=True).first() or RATES[-1]

    @classmethod
    def ask_for(cls, rate: int) -> None:
        """The feed looks at it several times a second."""
        cls.objects.update_or_create(pk=1, defaults={"rate": rate})
