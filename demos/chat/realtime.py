"""What the worker does with the events of the socket server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django_jackfield import (
    Channel,
    ClientError,
    Context,
    connected,
    disconnected,
    on,
    publish,
    rpc,
    send,
)

from chat.models import NONCE_LIMIT, TEXT_LIMIT, TITLE_LIMIT, LastSeen, Message, Room


class RoomChannel(Channel):
    """`room:7`. What clients publish here comes to the app, which decides what the room hears."""

    pattern = "room:<int:pk>"
    access = "authenticated"

    @on("say")
    def say(self, ctx: Context, data: Any, pk: int) -> None:
        """Stores a message and tells the room."""
        text, nonce = said(data, ctx.id)
        if fault := fault_of(ctx.user_id, pk, text):
            refuse(ctx, nonce, fault)
            return
        with transaction.atomic():
            message, _ = Message.objects.select_related("author").get_or_create(
                author_id=ctx.user_id, nonce=nonce, defaults={"room_id": pk, "text": text}
            )
            # Why also for one that was there before: the first worker may have died between the
            # commit and the queue. Pages know a message by its id and show it once.
            ctx.publish(
                {"event": "message", "data": message.as_dict()},
                channel=self.name(message.room_id),
            )


# Typing needs no handler: browsers publish to `typing:<pk>` themselves, a namespace whose
# publications go to the channel. It is worth nothing after four seconds, so it must not wait behind
# the messages of the queue nor touch the database; and who types is told by the server, which adds
# the publisher to each publication, so nobody types in another's name.


@rpc("rooms.rename")
def rename(ctx: Context, pk: int, title: str) -> dict[str, Any]:
    """Gives a room another title and tells those who are in it."""
    title = storable(title).strip()
    if not title or len(title) > TITLE_LIMIT:
        raise ClientError(400, f"A title has 1 to {TITLE_LIMIT} characters.")
    if not isinstance(pk, int) or not is_member(ctx.user_id, pk):
        raise ClientError(403, "Only members rename a room.")
    Room.objects.filter(pk=pk).update(title=title)
    told = {"title": title, "by": ctx.user.get_username()}
    publish(RoomChannel.name(pk), {"event": "renamed", "data": told})
    return {"title": title}


@connected
def came(ctx: Context) -> None:
    """A user opened a socket."""
    see(ctx)


@disconnected
def went(ctx: Context) -> None:
    """A socket has ended, by whatever cause."""
    see(ctx)


def see(ctx: Context) -> None:
    """Notes that the user was there. Events may come twice or late, so time never goes back."""
    user_id = known_user(ctx.user_id)
    if user_id is None:
        return
    at = datetime.fromtimestamp(ctx.time / 1000, UTC)
    seen, _ = LastSeen.objects.get_or_create(user_id=user_id, defaults={"at": at})
    if seen.at < at:
        LastSeen.objects.filter(user_id=user_id, at__lt=at).update(at=at)


def said(data: Any, otherwise: str) -> tuple[str, str]:
    """Text and nonce of a message; a client that sends no nonce gets the id of the event."""
    data = data if isinstance(data, dict) else {"text": data}
    text, nonce = storable(data.get("text")).strip(), storable(data.get("nonce"))
    return text, nonce if 0 < len(nonce) <= NONCE_LIMIT else otherwise


def storable(text: Any) -> str:
    """Text that every database takes: JSON may hold NUL and halves of surrogate pairs."""
    if not isinstance(text, str):
        return ""
    return text.replace("\0", "").encode(errors="replace").decode()


def fault_of(user_id: str, pk: int, text: str) -> str:
    """Why a message is not taken, or nothing."""
    if not is_member(user_id, pk):
        return "Join the room to speak in it."
    if not text:
        return "There is nothing in this message."
    if len(text) > TEXT_LIMIT:
        return f"A message has at most {TEXT_LIMIT} characters."
    return ""


def refuse(ctx: Context, nonce: str, fault: str) -> None:
    """Tells the author, on all their pages: a message has no reply that could carry an error."""
    if ctx.user_id:
        told = {"nonce": nonce, "channel": ctx.channel, "fault": fault}
        send(user=ctx.user_id, data={"event": "refused", "data": told})


def is_member(user_id: str, pk: int) -> bool:
    """Whether a user, by the id in the token, belongs to a room."""
    return user_id.isdecimal() and Room.objects.filter(pk=pk, members=int(user_id)).exists()


def known_user(user_id: str) -> int | None:
    """The primary key of a user that still exists."""
    if not user_id.isdecimal():
        return None
    users = get_user_model()._default_manager
    return users.filter(pk=int(user_id)).values_list("pk", flat=True).first()
