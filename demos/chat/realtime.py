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
    History,
    Subscription,
    connected,
    disconnected,
    on,
    recheck,
    rpc,
    send,
    undelivered,
)

from chat.models import (
    NONCE_LIMIT,
    TEXT_LIMIT,
    TITLE_LIMIT,
    LastSeen,
    Membership,
    Message,
    Notice,
    Room,
    key,
)

State = Membership.State


class MembersChannel(Channel):
    """Members come in, under their name. `recheck` asks again, of sockets that are open."""

    def can_subscribe(self, user: Any, pk: int) -> Subscription | bool:
        """Whoever is in the room, by Django's word."""
        member = Membership.of(str(user.pk), pk)
        return member is not None and Subscription(info={"name": user.get_username()})


class RoomChannel(MembersChannel):
    """`room:7`: who comes back is sent what it missed. Pages speak to Django, Django to pages."""

    pattern = "room:<int:pk>"
    history = History(size=500, ttl="1h")
    presence = True
    join_leave = True
    rate = "10/s"

    @on("say")
    def say(self, ctx: Context, data: Any, pk: int) -> None:
        """Stores a message, tells the room, and those who are mentioned, wherever they are."""
        nonce = nonce_of(data, ctx.id)
        try:
            text = text_of(data)
            speaker_of(ctx, pk)
        except ClientError as refusal:  # a message has no reply that could carry an error
            told = {"nonce": nonce, "channel": ctx.channel, "fault": refusal.message}
            send(user=ctx.user_id, data={"event": "refused", "data": told})
            return
        with transaction.atomic():
            message, is_new = Message.objects.select_related("author").get_or_create(
                author_id=ctx.user_id, nonce=nonce, defaults={"room_id": pk, "text": text}
            )
            if is_new:
                message.version = Room.next_version(pk)
                message.save(update_fields=["version"])
                for user in message.mentioned():
                    send(user=user, data={"event": "mention", "data": mention_of(message)})
            # Why also one that was there: its author sends it again who has not heard of it.
            self.publish(message.room_id, event="message", data=message.as_dict())

    @on("read")
    def read(self, ctx: Context, data: Any, pk: int) -> None:
        """Moves the mark up to which a member has read. It never goes back."""
        mine = Membership.objects.filter(room=pk, user=ctx.user_id)
        if mine.filter(read__lt=key(data)).update(read=key(data)):
            self.publish(pk, event="read", data={"id": ctx.user_id, "read": key(data)})


class TypingChannel(MembersChannel):
    """`typing:7`: from page to page, without Django. The server says whose each message is."""

    pattern = "typing:<int:pk>"
    relay = ["typing"]
    rate = "5/s"


@undelivered
def keep(ctx: Context) -> None:
    """A mention that found nobody, on no device: the next visit shows it."""
    if isinstance(ctx.data, dict) and ctx.data.get("event") == "mention":
        message = ctx.data["data"]["id"]
        Notice.objects.get_or_create(user_id=ctx.user_id, message_id=message)


@rpc("messages.edit")
def edit(ctx: Context, pk: int, text: str) -> None:
    """Gives one's own message another text."""
    text = text_of({"text": text})
    with transaction.atomic():
        message = found(ctx, pk)
        if str(message.author_id) != ctx.user_id or message.is_deleted:
            raise ClientError(403, "You edit what you said yourself.")
        speaker_of(ctx, message.room_id)
        tell_changed(message, text=text, is_edited=True)


@rpc("messages.delete")
def delete(ctx: Context, pk: int) -> None:
    """Deletes one's own message; a moderator deletes any."""
    with transaction.atomic():
        message = found(ctx, pk)
        if str(message.author_id) != ctx.user_id:
            moderator_of(ctx, message.room_id)
        tell_changed(message, text="", is_deleted=True)


@rpc("rooms.moderate")
def moderate(ctx: Context, pk: int, user: str, state: str) -> None:
    """Mutes, removes, or lets back in. Who is removed is out of the open socket at once."""
    moderator_of(ctx, pk)
    member = Membership.objects.filter(room=pk, is_moderator=False, user=key(user)).first()
    if member is None or state not in State.values:
        raise ClientError(400, "There is nobody to moderate.")
    with transaction.atomic():
        member.state = state
        member.save(update_fields=["state"])
        RoomChannel.publish(pk, event="member", data=member.as_dict())
        for channel in (RoomChannel, TypingChannel):
            recheck(user=member.user, channel=channel.name(pk))


@rpc("rooms.rename")
def rename(ctx: Context, pk: int, title: str) -> dict[str, Any]:
    """Gives a room another title and tells those who are in it."""
    title = storable(title).strip()
    if not title or len(title) > TITLE_LIMIT:
        raise ClientError(400, f"A title has 1 to {TITLE_LIMIT} characters.")
    member_of(ctx, pk)
    Room.objects.filter(pk=pk).update(title=title)
    told = {"title": title, "by": ctx.user.get_username()}
    RoomChannel.publish(pk, event="renamed", data=told)
    return {"title": title}


@connected
@disconnected
def see(ctx: Context) -> None:
    """Notes when a user was there. Events may come twice or late, so time never goes back."""
    user_id = key(ctx.user_id)
    if not get_user_model()._default_manager.filter(pk=user_id).exists():
        return
    at = datetime.fromtimestamp(ctx.time / 1000, UTC)
    seen, _ = LastSeen.objects.get_or_create(user_id=user_id, defaults={"at": at})
    if seen.at < at:
        LastSeen.objects.filter(user_id=user_id, at__lt=at).update(at=at)


def member_of(ctx: Context, pk: Any) -> Membership:
    """The membership of who sent this."""
    if member := Membership.of(ctx.user_id, pk):
        return member
    raise ClientError(403, "You are not in this room.")


def speaker_of(ctx: Context, pk: int) -> Membership:
    """The same, of who may speak."""
    member = member_of(ctx, pk)
    if member.state == State.MUTED:
        raise ClientError(403, "You are muted in this room.")
    return member


def moderator_of(ctx: Context, pk: int) -> Membership:
    """The same, of a moderator."""
    member = member_of(ctx, pk)
    if not member.is_moderator:
        raise ClientError(403, "Only a moderator may do this.")
    return member


def found(ctx: Context, pk: Any) -> Message:
    """A message of a room that the caller is in, locked until the transaction ends."""
    messages = Message.objects.select_related("author").select_for_update(of=("self",))
    message = messages.filter(pk=key(pk)).first()
    if message is None or Membership.of(ctx.user_id, message.room_id) is None:
        raise ClientError(404, "There is no such message.")
    return message


def tell_changed(message: Message, **changes: Any) -> None:
    """Stores what became of a message, as the newest change of its room, and tells the room."""
    for name, value in changes.items():
        setattr(message, name, value)
    message.version = Room.next_version(message.room_id)
    message.save(update_fields=[*changes, "version"])
    RoomChannel.publish(message.room_id, event="message", data=message.as_dict())


def mention_of(message: Message) -> dict[str, Any]:
    """A message for somebody who is not in its room."""
    room = message.room
    return message.as_dict() | {"room": room.get_absolute_url(), "title": room.title}


def text_of(data: Any) -> str:
    """The text of a message; what cannot be one is refused, and told what would be."""
    text = data.get("text") if isinstance(data, dict) else data
    if not isinstance(text, str) or (isinstance(data, dict) and "file" in data):
        raise ClientError(400, "Files are not taken here. Send text, such as a link to the file.")
    text = storable(text).strip()
    if not text:
        raise ClientError(400, "There is nothing in this message.")
    if len(text) > TEXT_LIMIT:
        raise ClientError(400, f"A message has at most {TEXT_LIMIT} characters.")
    return text


def nonce_of(data: Any, otherwise: str) -> str:
    """What the author calls the message; who sends no nonce gets the id of the event."""
    nonce = storable(data.get("nonce")) if isinstance(data, dict) else ""
    return nonce if 0 < len(nonce) <= NONCE_LIMIT else otherwise


def storable(text: Any) -> str:
    """Text that every database takes: JSON may hold NUL and halves of surrogate pairs."""
    if not isinstance(text, str):
        return ""
    return text.replace("\0", "").encode(errors="replace").decode()
