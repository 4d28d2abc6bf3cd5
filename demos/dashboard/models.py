"""The orders of a shop."""

from __future__ import annotations

import random
from decimal import Decimal

from django.db import models

CHANCE = random.SystemRandom()


class Order(models.Model):
    """What somebody bought, and how far it is."""

    class Region(models.TextChoices):
        """Where it goes."""

        NORTH = "north"
        EAST = "east"
        SOUTH = "south"
        WEST = "west"

    class Status(models.TextChoices):
        """The way of an order."""

        NEW = "new"
        PAID = "paid"
        SHIPPED = "shipped"

    region = models.CharField(max_length=5, choices=Region)
    status = models.CharField(max_length=7, choices=Status, default=Status.NEW)
    total = models.DecimalField(max_digits=8, decimal_places=2)
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    updated = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.pk}: {self.total} to the {self.region}, {self.status}"

    @classmethod
    def random(cls) -> Order:
        """An order as it might come in; most are small."""
        cents = min(int(CHANCE.lognormvariate(8.1, 0.8)), 90_000)
        return cls(region=CHANCE.choice(cls.Region.values), total=Decimal(cents) / 100)

    def advance(self) -> None:
        """One step on its way."""
        way = self.Status.values
        self.status = way[min(way.index(self.status) + 1, len(way) - 1)]
