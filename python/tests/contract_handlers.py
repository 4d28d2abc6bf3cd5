"""The realtime.py of the contract vectors."""

from collections import defaultdict
from datetime import timedelta

from django.core.exceptions import PermissionDenied

from django_jackfield import (
    Channel,
    ClientError,
    History,
    Principal,
    Refuse,
    Rewrite,
    Subscription,
    connected,
    connecting,
    disconnected,
    on,
    publish,
    rpc,
    subscribed,
    unsubscribed,
)

NAMES = ("ann", "bob", "cy")


HISTORY = History(size=10, ttl=timedelta(minutes=5))


def declare(name_of):
    """Declares everything; gives what handlers heard, by client. `name_of` turns ids into names."""
    told = defaultdict(list)

    class Room(Channel):
        pattern = "room:<int:pk>"
        presence = True
        history = HISTORY

        def can_subscribe(self, user, pk):
            if name_of(self.ctx.user_id) == "bob":
                return False
            return Subscription(data={"hello": pk})

        @on("say")
        def say(self, ctx, data, pk):
            told[ctx.client].append(f"say {pk} {data['text']}")
            said = {"text": data["text"], "by": name_of(ctx.user_id)}
            ctx.publish({"event": "message", "data": said})

        @on("fail")
        def fail(self, ctx, data, pk):
            raise RuntimeError("this handler always fails")

    class Open(Channel):
        pattern = "open:<int:pk>"

        def can_subscribe(self, user, pk):
            return True

        def can_publish(self, user, pk):
            if isinstance(self.ctx.data, dict) and "rewrite" in self.ctx.data:
                return Rewrite(data={"rewritten": True})
            return name_of(self.ctx.user_id) == "ann"

    @on("hello")
    def hello(ctx, data):
        told[ctx.client].append(f"hello {data['n']}")

    @rpc("add")
    def add(ctx, a: int, b: int = 1):
        return a + b

    @rpc("echo")
    async def echo(ctx, data):
        return data

    @rpc("whoami")
    def whoami(ctx):
        return name_of(ctx.user_id)

    @rpc("deny")
    def deny(ctx):
        raise PermissionDenied

    @rpc("full")
    def full(ctx):
        raise ClientError(409, "full", temporary=True)

    @rpc("broken")
    def broken(ctx):
        raise RuntimeError("this call always fails")

    @rpc("kick")
    def kick(ctx):
        raise Refuse(4403, "banned")

    @rpc("announce")
    def announce(ctx, channel: str, text: str):
        publish(channel, {"event": "news", "data": text})
        return {"ok": True}

    @connecting
    def enter(ctx, data):
        if not data:
            return None
        if data["name"] == "banned":
            raise Refuse(4403, "banned")
        return Principal(user=data["name"], data={"hello": data["name"]})

    @connected
    def came(ctx):
        told[ctx.client].append("connect")

    @disconnected
    def went(ctx):
        told[ctx.client].append(f"disconnect {ctx.data['code']}")

    @subscribed
    def joined(ctx):
        told[ctx.client].append(f"subscribe {ctx.channel}")

    @unsubscribed
    def left(ctx):
        told[ctx.client].append(f"unsubscribe {ctx.channel} {ctx.data['code']}")

    return told
