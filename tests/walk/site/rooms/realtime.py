"""What the worker runs."""

import os

from django.db import IntegrityError
from django.db.models import F
from django.dispatch import receiver

from django_jackfield import (
    Channel,
    ClientError,
    Principal,
    connected,
    connecting,
    disconnected,
    on,
    rpc,
)
from django_jackfield.signals import node_lost
from rooms.models import Heard, Note


class RoomChannel(Channel):
    """Notes of one room."""

    pattern = "room:<int:pk>"
    access = "authenticated"

    @on("say")
    def say(self, ctx, data, pk):
        """Stores a note and tells everybody in the room."""
        take(ctx, data["text"])
        heard("message", ctx, data)
        ctx.publish({"event": "said", "data": {"text": data["text"], "user": ctx.user_id, "room": pk}})

    @on("count")
    def count(self, ctx, data, pk):
        """Stores a note, as fast as can be."""
        take(ctx, data["text"])


@on("message")
def plain(ctx, data):
    """What clients of no protocol say."""
    take(ctx, data if isinstance(data, str) else data["text"])


@rpc("add")
def add(ctx, a: int, b: int):
    """A sum."""
    return {"sum": a + b, "user": ctx.user_id}


@rpc("fail")
def fail(ctx, data):
    """An error of the app's own."""
    raise ClientError(451, "not here")


@rpc("break")
def break_(ctx, data):
    """An error nobody thought of."""
    raise RuntimeError("a secret of the app")


@rpc("worker")
def worker(ctx):
    """Which process answers."""
    return os.getpid()


@connecting
def decide(ctx, data):
    """Who comes without a token must know the word."""
    if (data or {}).get("word") != "sesame":
        return None
    return Principal(user="guest-7", info={"name": "Guest"}, data={"hello": "guest"}, meta={"via": "word"})


@connected
def came(ctx):
    """A connection is there."""
    heard("connect", ctx, {"node": ctx.node})


@disconnected
def went(ctx):
    """A connection is gone."""
    heard("disconnect", ctx, ctx.data)


@receiver(node_lost)
def lost(ctx, **_):
    """A node is gone without a word."""
    heard("node_lost", ctx, ctx.data | {"node": ctx.node})


def take(ctx, text):
    """Stores a note, or counts it again."""
    try:
        Note.objects.create(text=text, user=ctx.user_id)
    except IntegrityError:
        Note.objects.filter(text=text).update(times=F("times") + 1)


def heard(kind, ctx, detail):
    """Remembers an event."""
    Heard.objects.create(kind=kind, client=ctx.client, user=ctx.user_id, seq=ctx.seq, detail=detail)
