"""Rooms, who is a member, what was said, and when somebody was last seen."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse

TEXT_LIMIT = 2000
TITLE_LIMIT = 80
NONCE_LIMIT = 64


class Room(models.Model):
    """A room. Everyone who is logged in may read it; members may speak in it."""

    title = models.CharField(max_length=TITLE_LIMIT)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="rooms"
    )

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The page of the room."""
        return reverse("room", args=[self.pk])


class Membership(models.Model):
    """A user in a room."""

    room = models.ForeignKey(Room, models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["room", "user"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.room_id}"


class Message(models.Model):
    """What somebody said.

    Invariant: one row for each nonce of an author. The client makes the nonce, so a message that
    is sent again, or handed to the worker twice, is stored once.
    """

    room = models.ForeignKey(Room, models.CASCADE, related_name="messages")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.CharField(max_length=TEXT_LIMIT)
    nonce = models.CharField(max_length=NONCE_LIMIT)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["room", "id"])]
        constraints = [
            models.UniqueConstraint(fields=["author", "nonce"], name="said_once"),
        ]

    def __str__(self) -> str:
        return f"{self.author_id}: {self.text[:40]}"

    def as_dict(self) -> dict[str, Any]:
        """What browsers are told."""
        return {
            "id": self.pk,
            "author": {"id": str(self.author_id), "name": self.author.get_username()},
            "text": self.text,
            "nonce": self.nonce,
            "at": self.at.isoformat(),
        }


class LastSeen(models.Model):
    """When a user last came or went, as the socket server told."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="last_seen"
    )
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} at {self.at:%F %T}"
