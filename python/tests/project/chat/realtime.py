"""Handlers that append a line per event to the file TEST_LOG."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

from django.core.exceptions import PermissionDenied

from django_jackfield import (
    Channel,
    ClientError,
    Principal,
    Refuse,
    connected,
    connecting,
    disconnected,
    occupied,
    on,
    rpc,
    subscribed,
    undelivered,
    unsubscribed,
    vacated,
)


def note(ctx, **what):
    line = {"id": ctx.id, "client": ctx.client, "seq": ctx.seq, "attempt": ctx.attempt} | what
    path = os.environ.get("TEST_LOG")
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")
    return line


class RoomChannel(Channel):
    pattern = "room:<int:pk>"
    access = "public"

    @on("say")
    def say(self, ctx, data, pk):
        if isinstance(data, dict) and "wait" in data:
            Path(os.environ["TEST_LOG"]).with_suffix(".begun").touch()
            time.sleep(data["wait"])
        if isinstance(data, dict) and "hold" in data and ctx.attempt == 1:
            # Until the test lets it go, or this process ends.
            log = Path(os.environ["TEST_LOG"])
            log.with_suffix(".begun").touch()
            while not log.with_suffix(".go").exists():
                time.sleep(0.02)
        note(ctx, did="say", pk=pk, data=data)
        return ctx.params

    @on("die")
    def die(self, ctx, data, pk):
        begun = Path(os.environ["TEST_LOG"]).with_suffix(f".{ctx.id}")
        with begun.open("a") as file:
            file.write(f"{ctx.attempt}\n")
        if len(begun.read_text().splitlines()) <= data["times"]:
            os.kill(os.getpid(), signal.SIGKILL)
        note(ctx, did="die", pk=pk, data=data)

    @on("fail")
    def fail(self, ctx, data, pk):
        raise RuntimeError("this handler always fails")

    @on("shout")
    async def shout(self, ctx, data, pk):
        await asyncio.sleep(0)
        note(ctx, did="shout", pk=pk, data=data)


class UserChannel(Channel):
    pattern = "user:<uuid:key>/<slug:topic>"
    access = "public"

    @on("message")
    def message(self, ctx, data, key, topic):
        note(ctx, did="message", topic=topic, data=str(data))


@on("hello")
def hello(ctx, data):
    note(ctx, did="hello", data=data)


@on("hello", listener="gps")
def gps_hello(ctx, data):
    note(ctx, did="gps", data=repr(data))


@rpc("rooms.rename")
def rename(ctx, pk: int, title: str = "none"):
    note(ctx, did="rename", pk=pk)
    return {"pk": pk, "title": title}


@rpc("echo")
async def echo(ctx, data):
    return data


@rpc("whoami")
def whoami(ctx):
    return ctx.user_id


@rpc("deny")
def deny(ctx, data):
    raise PermissionDenied


@rpc("full")
def full(ctx, data):
    raise ClientError(409, "room is full", temporary=True)


@rpc("broken")
def broken(ctx, data):
    return object()


@rpc("kick")
def kick(ctx, data):
    raise Refuse(4403, "banned")


@connecting
def enter(ctx, data):
    if ctx.token == "bad":
        raise Refuse(4401, "bad token")
    if ctx.token == "none":
        return None
    return Principal(user="42", info={"name": "Ann"}, meta={"plan": "pro"})


@connected
def came(ctx):
    note(ctx, did="connected")


@disconnected
def went(ctx):
    note(ctx, did="disconnected", code=ctx.data["code"])


@subscribed
def joined(ctx):
    note(ctx, did="subscribed", channel=ctx.channel)


@unsubscribed
def left(ctx):
    note(ctx, did="unsubscribed", channel=ctx.channel, code=ctx.data["code"])


@occupied
def used(ctx):
    note(ctx, did="occupied", channel=ctx.channel)


@vacated
def unused(ctx):
    note(ctx, did="vacated", channel=ctx.channel)


@undelivered
def missed(ctx):
    note(ctx, did="undelivered", user=ctx.user_id, data=ctx.data, command=ctx.event)
