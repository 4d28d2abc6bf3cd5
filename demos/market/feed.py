"""The exchange on a TCP port: who says `quotes`, `trend` or `depth` is sent lines of JSON."""

from __future__ import annotations

import asyncio
import time

from market.exchange import COUNT, TREND_SECONDS, Exchange

TURN_SECONDS = 0.01
LATE_SECONDS = 0.1  # what is not made up for after a pause of this process
DEPTH_SECONDS = 0.2
HELLO_SECONDS = 10
# Who is behind by this much is passed by until it has taken it: a market waits for nobody.
SLACK_BYTES = 256 * 1024


class Feed:
    """The trades of an exchange, to whoever reads them."""

    def __init__(self, exchange: Exchange, rate: int) -> None:
        self.exchange = exchange
        self.rate = rate
        self.watched: frozenset[str] = frozenset()
        """The symbols whose orders somebody looks at."""
        self.ticks = 0
        """How many trades there were."""
        self._readers: dict[str, set[asyncio.StreamWriter]] = {
            "quotes": set(),
            "trend": set(),
            "depth": set(),
        }

    async def run(self, host: str, port: int) -> None:
        """Listens and trades until it is cancelled."""
        server = await asyncio.start_server(self._serve, host, port)
        try:
            await self._trade()
        finally:
            server.close()  # Why not wait for it: some Pythons wait for those who read, too.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One who reads. It begins with how things stand, and hears what becomes of them."""
        readers: set[asyncio.StreamWriter] = set()
        try:
            hello = await asyncio.wait_for(reader.readline(), HELLO_SECONDS)
            wish = hello.decode("ascii", "replace").strip()
            if wish not in self._readers:
                writer.write(b"say quotes, trend or depth\n")
                return
            if wish == "quotes":
                writer.write(self.exchange.last(_now()))
            elif wish == "trend":
                writer.writelines(self.exchange.trend(place) for place in range(COUNT))
            readers = self._readers[wish]
            readers.add(writer)
            while await reader.read(1024):
                pass  # Nothing else is understood; the end is.
        except (OSError, ValueError, TimeoutError):
            pass  # It is gone, or has said nothing that anybody could understand.
        finally:
            if writer in readers:
                readers.discard(writer)
                writer.transport.abort()  # what it has not taken is not waited for
            writer.close()

    async def _trade(self) -> None:
        """Turn by turn: as many trades as are due, and now and then the rest."""
        last, due, turn, points = time.monotonic(), 0.0, 0, 0.0
        depth_turns = round(DEPTH_SECONDS / TURN_SECONDS)
        while True:
            await asyncio.sleep(TURN_SECONDS)
            now = time.monotonic()
            passed = min(now - last, LATE_SECONDS)
            last = now
            self.exchange.drift(passed)
            due += self.rate * passed
            if count := int(due):
                due -= count
                self.ticks += count
                self._tell("quotes", self.exchange.ticks(count, _now()))
            first, points = int(points), points + passed * COUNT / TREND_SECONDS
            self._trends(range(first, int(points)))
            turn += 1
            if turn % depth_turns == 0 and self._readers["depth"]:
                books = (self.exchange.book(symbol, _now()) for symbol in self.watched)
                self._tell("depth", b"".join(books))

    def _trends(self, turns: range) -> None:
        for turn in turns:
            self.exchange.point(turn % COUNT)
            self._tell("trend", self.exchange.trend(turn % COUNT))

    def _tell(self, wish: str, lines: bytes) -> None:
        for writer in self._readers[wish]:
            if writer.transport.get_write_buffer_size() < SLACK_BYTES:
                writer.write(lines)


def _now() -> int:
    return time.time_ns() // 1_000_000
