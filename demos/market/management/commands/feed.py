"""`manage.py feed`."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, close_old_connections
from django_jackfield import JackfieldError, channels

from market.exchange import Exchange
from market.feed import Feed
from market.models import RATES, Pace
from market.realtime import Depth, FeedChannel, Quotes

LOOK_SECONDS = 0.25
TELL_SECONDS = 1.0
LOG = logging.getLogger("market.feed")


class Command(BaseCommand):
    """Runs the exchange, as fast as the page asks for, until SIGTERM or Ctrl-C."""

    help = "The feed of the market: lines of JSON over TCP, for the sources of jackfield.toml."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where, and how fast."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8406)
        parser.add_argument("--rate", type=int, help="trades a second, whatever the page asks for")
        parser.add_argument("--seed", type=int, help="the same market again")

    def handle(self, *args: Any, **options: Any) -> None:
        """Trades in this thread, and looks at Django from another."""
        feed = Feed(Exchange(options["seed"]), options["rate"] or Pace.now())
        watch = threading.Thread(target=Watch(feed, options["rate"]).run, daemon=True)
        watch.start()
        asyncio.run(until_told(feed.run(options["host"], options["port"])))


async def until_told(work: Coroutine[Any, Any, None]) -> None:
    """Runs it until SIGTERM or SIGINT."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


class Watch:
    """Tells the feed what is asked for and looked at, and the pages how the feed is."""

    def __init__(self, feed: Feed, rate: int | None = None) -> None:
        self._feed = feed
        self._rate = rate
        self._told, self._ticks = time.monotonic(), feed.ticks
        self._is_well = True

    def run(self) -> None:
        """Looks again and again. The trades go on, whatever happens here."""
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                close_old_connections()
                self.look(time.monotonic())
                self._is_well = True
            except (DatabaseError, JackfieldError) as error:
                if self._is_well:
                    LOG.warning("the market goes on without its pages: %s", error)
                self._is_well = False

    def look(self, now: float) -> None:
        """Once."""
        # A demo that nobody has open shall cost next to nothing.
        asked = Pace.now() if channels(Quotes.name("*")) else RATES[0]
        self._feed.rate = self._rate or asked
        # The server knows who looks at what: the orders of other symbols are not even made up.
        watched = (Depth.match(name) for name in channels(Depth.name("*")))
        symbols = (found["symbol"] for found in watched if found)
        self._feed.watched = frozenset(filter(self._feed.exchange.knows, symbols))
        if now - self._told >= TELL_SECONDS:
            ticks = round((self._feed.ticks - self._ticks) / (now - self._told))
            self._told, self._ticks = now, self._feed.ticks
            state = {"rate": self._feed.rate, "ticks": ticks}
            FeedChannel.publish(event="second", data=state, outbox=False)
