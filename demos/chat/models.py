"""Rooms, who is in them, what was said, and what waits for those who were away."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F
from django.urls import reverse

TEXT_LIMIT = 2000
TITLE_LIMIT = 80
NONCE_LIMIT = 64
MENTION = re.compile(r"(?<!\w)@([\w.+-]*\w)")


def key(said: Any) -> int:
    """A number that a client said, as a primary key; 0 is nobody's."""
    if isinstance(said, str) and said.isdecimal():
        said = int(said)
    return said if isinstance(said, int) and 0 < said < 2**63 else 0


class Room(models.Model):
    """A room: its members read and speak.

    `version` counts what was said, edited and deleted. A page asks Django for what is newer than
    what it has, so an edit is missed as little as a message.
    """

    title = models.CharField(max_length=TITLE_LIMIT)
    version = models.PositiveBigIntegerField(default=0)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="rooms"
    )

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The page of the room."""
        return reverse("chat:room", args=[self.pk])

    @classmethod
    def next_version(cls, pk: int) -> int:
        """Counts one more change, inside a transaction.

        Why: the row stays locked until the commit, so who sees a number sees all smaller ones.
        """
        cls.objects.filter(pk=pk).update(version=F("version") + 1)
        return cls.objects.values_list("version", flat=True).get(pk=pk)


class Membership(models.Model):
    """A user in a room: what the user may do there, and how far the user has read."""

    class State(models.TextChoices):
        """What a moderator decides. Who was removed cannot come back by joining."""

        MEMBER = "member"
        MUTED = "muted"
        REMOVED = "removed"

    room = models.ForeignKey(Room, models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    state = models.CharField(max_length=7, choices=State, default=State.MEMBER)
    is_moderator = models.BooleanField(default=False)
    read = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["room", "user"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.room_id}"

    @classmethod
    def of(cls, user_id: str, room: Any) -> Membership | None:
        """The membership of a user, by the id in the token, unless a moderator ended it."""
        found = cls.objects.select_related("user").exclude(state=cls.State.REMOVED)
        return found.filter(room=key(room), user=key(user_id)).first()

    def as_dict(self) -> dict[str, Any]:
        """What the others in the room are told."""
        return {
            "id": str(self.user_id),
            "name": self.user.get_username(),
            "state": self.state,
            "moderator": self.is_moderator,
            "read": self.read,
        }


class Message(models.Model):
    """What somebody said. One that was deleted stays as a row without text.

    Invariant: one row for each nonce of an author. The page makes the nonce, so a message that
    is sent again, or handed to the worker twice, is stored once.
    """

    room = models.ForeignKey(Room, models.CASCADE, related_name="messages")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.CharField(max_length=TEXT_LIMIT)
    nonce = models.CharField(max_length=NONCE_LIMIT)
    at = models.DateTimeField(auto_now_add=True)
    version = models.PositiveBigIntegerField(default=0)
    is_edited = models.BooleanField(default=False)
    is_deleted = models.BooleanField(default=False)

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["room", "id"]),
            models.Index(fields=["room", "version"]),
        ]
        constraints = [
            models.UniqueConstraint(fields=["author", "nonce"], name="said_once"),
        ]

    def __str__(self) -> str:
        return f"{self.author_id}: {self.text[:40]}"

    def as_dict(self) -> dict[str, Any]:
        """What pages are told, of a new message and of one that has changed."""
        return {
            "id": self.pk,
            "version": self.version,
            "author": {"id": str(self.author_id), "name": self.author.get_username()},
            "text": self.text,
            "nonce": self.nonce,
            "at": self.at.isoformat(),
            "edited": self.is_edited,
            "deleted": self.is_deleted,
        }

    def mentioned(self) -> list[Any]:
        """The other members whose @name is in the text."""
        members = Membership.objects.exclude(state=Membership.State.REMOVED)
        members = members.filter(room=self.room_id).exclude(user=self.author_id)
        names = set(MENTION.findall(self.text))
        users = (one.user for one in members.select_related("user"))
        return [user for user in users if user.get_username() in names]


class Notice(models.Model):
    """A mention of somebody who was nowhere connected: shown at the next visit."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notices")
    message = models.ForeignKey(Message, models.CASCADE)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["user", "message"], name="noticed_once")]

    def __str__(self) -> str:
        return f"{self.message_id} for {self.user_id}"


class LastSeen(models.Model):
    """When a user last came or went, as the socket server told."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="last_seen"
    )
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} at {self.at:%F %T}"
