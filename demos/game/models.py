"""What is left of a round: who has reached what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models, transaction

from game.arena import ROOM, Standing
from game.realtime import ArenaChannel

BEST = 10


class Round(models.Model):
    """A round that is over."""

    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"round {self.pk}"

    @classmethod
    def store(cls, standings: Iterable[Standing]) -> dict[str, Any]:
        """Keeps a round and says what pages are told: itself, and the best of all rounds."""
        users = get_user_model()._default_manager
        with transaction.atomic():
            played = cls.objects.create()
            ids = {one.who.removeprefix("u") for one in standings if not one.is_bot}
            known = {str(user.pk): user for user in users.filter(pk__in=ids)}
            Result.objects.bulk_create(
                Result(
                    round=played,
                    user=None if one.is_bot else known.get(one.who.removeprefix("u")),
                    name=one.name,
                    score=one.score,
                    is_bot=one.is_bot,
                )
                for one in standings
            )
            told = played.as_dict() | {"best": Result.best()}
            # Why here: a row of the same transaction, so what was stored is told.
            ArenaChannel.publish(ROOM, event="over", data=told, key="over")
        return told

    def as_dict(self) -> dict[str, Any]:
        """The round and its first three."""
        first = self.results.all()[:3]
        return {"round": self.pk, "first": [one.as_dict() for one in first]}


class Result(models.Model):
    """What one player reached in a round. A bot is nobody's."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="results")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="results"
    )
    name = models.CharField(max_length=150)
    score = models.PositiveIntegerField()
    is_bot = models.BooleanField(default=False)

    class Meta:
        ordering = ["-score", "name"]
        indexes = [models.Index(fields=["is_bot", "-score", "name"], name="result_best")]

    def __str__(self) -> str:
        return f"{self.name}: {self.score}"

    @classmethod
    def best(cls) -> list[dict[str, Any]]:
        """The best results of people; bots play all day."""
        return [one.as_dict() for one in cls.objects.filter(is_bot=False)[:BEST]]

    def as_dict(self) -> dict[str, Any]:
        """As pages are told."""
        return {"name": self.name, "score": self.score, "bot": self.is_bot}
