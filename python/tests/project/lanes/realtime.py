"""Handlers with rules; each appends a line per call to the file TEST_LOG."""

import os
import signal
import time

from django_jackfield import Channel, on
from project.chat.realtime import note


class GameChannel(Channel):
    pattern = "game:<int:pk>"
    ordering = "channel"

    @on("move")
    def move(self, ctx, data, pk):
        note(ctx, did="move", pk=pk, n=data["n"])


class MeterChannel(Channel):
    pattern = "meter:<int:pk>"

    @on("reading", batch=50)
    def reading(self, ctx, items, pk):
        for one, data in zip(ctx.batch, items, strict=True):
            note(one, did="reading", size=len(items), n=data["n"])

    @on("flaky", retry=3, backoff="20ms")
    def flaky(self, ctx, data, pk):
        if ctx.attempt < 3:
            raise RuntimeError("not yet")
        note(ctx, did="flaky")

    @on("save", debounce="300ms")
    def save(self, ctx, data, pk):
        note(ctx, did="save", n=data["n"])

    @on("crash")
    def crash(self, ctx, data, pk):
        note(ctx, did="crash", process=os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)

    @on("who")
    def who(self, ctx, data, pk):
        time.sleep(0)
        note(ctx, did="who", process=os.getpid())
