"""The exchange, its feed on a port, the slow line, and the page."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import patch

from django.contrib.auth import get_user_model
from django.test import SimpleTestCase, TestCase
from django_jackfield.test import RealtimeTestMixin, SubscribeDenied

from market import slow_line
from market.exchange import COMPANIES, COUNT, LEVELS, TREND_POINTS, Exchange
from market.feed import SLACK_BYTES, Feed
from market.management.commands.feed import Watch
from market.models import RATES, Pace

SYMBOLS = [company.symbol for company in COMPANIES]
PATIENCE = 20
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def said(lines: bytes) -> list[dict[str, Any]]:
    """What lines of JSON say."""
    return [json.loads(line) for line in lines.splitlines()]


class ExchangeTests(SimpleTestCase):
    """A market that looks like one."""

    def test_the_companies_are_always_the_same(self) -> None:
        self.assertEqual(len(set(SYMBOLS)), COUNT)
        self.assertEqual(SYMBOLS, sorted(SYMBOLS))
        self.assertEqual(len({company.name for company in COMPANIES}), COUNT)

    def test_trades_move_prices_a_little_and_all_symbols_are_traded(self) -> None:
        exchange = Exchange(seed=7)
        last = {quote["symbol"]: quote for quote in said(exchange.last(at=1))}
        self.assertEqual(list(last), SYMBOLS)
        seen = set()
        for at in range(2, 1_002):
            exchange.drift(0.01)
            for quote in said(exchange.ticks(20, at)):
                before = last[quote["symbol"]]
                self.assertEqual(quote["at"], at)
                self.assertGreaterEqual(quote["volume"], before["volume"])
                self.assertAlmostEqual(quote["price"] / before["price"], 1, delta=0.02)
                last[quote["symbol"]] = quote
                seen.add(quote["symbol"])
        self.assertEqual(len(seen), COUNT)
        moved = [last[one.symbol]["price"] / one.close for one in COMPANIES]
        self.assertTrue(all(0.9 < move < 1.1 for move in moved), (min(moved), max(moved)))
        self.assertTrue(0.1 * COUNT < sum(move > 1 for move in moved) < 0.9 * COUNT)

    def test_a_seed_is_a_market(self) -> None:
        one, same, other = (Exchange(seed).ticks(50, at=3) for seed in (5, 5, 6))
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_a_trend_ends_where_the_price_is(self) -> None:
        exchange = Exchange(seed=7)
        exchange.ticks(5_000, at=1)
        before = said(exchange.trend(3))[0]
        exchange.point(3)
        [trend] = said(exchange.trend(3))
        self.assertEqual(trend["symbol"], SYMBOLS[3])
        self.assertEqual(len(trend["trend"]), TREND_POINTS)
        self.assertEqual(trend["trend"][:-1], before["trend"][1:])
        self.assertEqual(trend["trend"][-1], exchange.price(3))

    def test_a_book_stands_around_the_price_and_changes_in_few_places(self) -> None:
        exchange = Exchange(seed=7)
        [first], [second] = (said(exchange.book(SYMBOLS[9], at)) for at in (1, 2))
        levels = first["asks"] + first["bids"]
        prices = [price for price, _ in levels]
        self.assertEqual(len(levels), 2 * LEVELS)
        self.assertEqual(prices, sorted(prices, reverse=True))
        self.assertTrue(first["bids"][0][0] < exchange.price(9) < first["asks"][-1][0])
        self.assertTrue(all(size > 0 for _, size in levels))
        changed = [one for one in second["asks"] + second["bids"] if one not in levels]
        self.assertLessEqual(len(changed), 3)


def with_feed(test: Callable[[Feed, int], Awaitable[None]], rate: int = 2_000) -> None:
    """Runs a test beside a feed on a port of its own."""

    async def run() -> None:
        feed, port = Feed(Exchange(seed=1), rate), free_port()
        work = asyncio.ensure_future(feed.run("127.0.0.1", port))
        try:
            await asyncio.wait_for(test(feed, port), PATIENCE)
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    asyncio.run(run())


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def reader_of(port: int, wish: bytes) -> Connection:
    """One who has said what is wanted. Who forgets the writer closes it."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        except ConnectionRefusedError:
            await asyncio.sleep(0)
            continue
        writer.write(wish)
        return reader, writer


async def until(what: Callable[[], bool]) -> None:
    """Waits for a condition."""
    while not what():
        await asyncio.sleep(0.001)


class FeedTests(SimpleTestCase):
    """The port."""

    def test_quotes_begin_with_all_of_them_and_go_on_with_trades(self) -> None:
        async def test(feed: Feed, port: int) -> None:
            reader, _writer = await reader_of(port, b"quotes\n")
            first = [json.loads(await reader.readline())["symbol"] for _ in range(COUNT)]
            self.assertEqual(first, SYMBOLS)
            feed.rate = RATES[-1]
            before = feed.ticks
            for _ in range(2_000):
                self.assertIn(json.loads(await reader.readline())["symbol"], SYMBOLS)
            self.assertGreaterEqual(feed.ticks - before, 1_000)

        with_feed(test)

    def test_trends_come_one_after_the_other(self) -> None:
        async def test(feed: Feed, port: int) -> None:
            reader, _writer = await reader_of(port, b"trend\r\n")
            trends = [json.loads(await reader.readline()) for _ in range(COUNT + 3)]
            self.assertEqual([one["symbol"] for one in trends[:COUNT]], SYMBOLS)
            places = [SYMBOLS.index(one["symbol"]) for one in trends[COUNT:]]
            self.assertEqual(places, list(range(places[0], places[0] + 3)))

        with_feed(test)

    def test_orders_are_those_that_somebody_looks_at(self) -> None:
        async def test(feed: Feed, port: int) -> None:
            reader, _writer = await reader_of(port, b"depth\n")
            feed.watched = frozenset([SYMBOLS[4]])
            for _ in range(2):
                self.assertEqual(json.loads(await reader.readline())["symbol"], SYMBOLS[4])

        with_feed(test)

    def test_whoever_says_nonsense_is_told_what_to_say(self) -> None:
        async def test(feed: Feed, port: int) -> None:
            for nonsense in (b"GET / HTTP/1.1\r\n", b"\xff\n", b"x" * 100_000 + b"\n"):
                reader, _writer = await reader_of(port, nonsense)
                with suppress(ConnectionResetError):
                    answer = await reader.read()
                    self.assertIn(answer, (b"say quotes, trend or depth\n", b""))
            reader, _writer = await reader_of(port, b"trend\n")
            self.assertTrue(await reader.readline())

        with_feed(test)

    def test_who_does_not_read_holds_nobody_up(self) -> None:
        async def test(feed: Feed, port: int) -> None:
            reader, _writer = await reader_of(port, b"quotes\n")
            with socket.create_connection(("127.0.0.1", port)) as lazy:
                lazy.sendall(b"quotes\n")
                feed.rate = 300_000  # so that what systems take for a reader is full soon
                readers = feed._readers["quotes"]
                await until(lambda: len(readers) == 2)

                def held() -> int:
                    return max(one.transport.get_write_buffer_size() for one in readers)

                while held() < SLACK_BYTES:
                    await reader.readline()
                most = 0
                for _ in range(20_000):
                    self.assertTrue(await reader.readline())
                    most = max(most, held())
                # One turn may come on top: what is made up for after the longest pause.
                self.assertLess(most, SLACK_BYTES + 0.1 * 300_000 * 100)

        with_feed(test)


class SlowLineTests(SimpleTestCase):
    """What a line holds, and that it carries both ways."""

    @asynccontextmanager
    async def line(self, rate: int) -> Any:
        """A server's end and a browser's end of it."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            to = server.getsockname()[1]
            options = argparse.Namespace(
                host="127.0.0.1", port=free_port(), to_host="127.0.0.1", to=to, rate=rate
            )
            work = asyncio.ensure_future(slow_line.serve(options))
            server.setblocking(False)
            loop = asyncio.get_running_loop()
            await asyncio.sleep(0)  # it listens before it waits for anything
            browser = socket.create_connection(("127.0.0.1", options.port))
            browser.setblocking(False)
            try:
                far, _ = await loop.sock_accept(server)
                far.setblocking(False)
                yield far, browser
                far.close()
            finally:
                browser.close()
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work

    def test_it_holds_little_of_what_it_is_sent(self) -> None:
        async def test() -> None:
            loop = asyncio.get_running_loop()
            async with self.line(rate=20_000) as (far, browser):
                far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                sent = received = most = 0
                while received < 10_000:
                    with suppress(BlockingIOError):
                        while True:
                            sent += far.send(b"x" * 512)
                    received += len(await loop.sock_recv(browser, 65536))
                    most = max(most, sent - received)
                self.assertLess(most, 24_000)

        asyncio.run(asyncio.wait_for(test(), PATIENCE))

    def test_it_carries_both_ways_and_ends_with_either_end(self) -> None:
        async def test() -> None:
            loop = asyncio.get_running_loop()
            async with self.line(rate=1_000_000) as (far, browser):
                await loop.sock_sendall(browser, b"up")
                self.assertEqual(await loop.sock_recv(far, 10), b"up")
                await loop.sock_sendall(far, b"down")
                self.assertEqual(await loop.sock_recv(browser, 10), b"down")
                far.shutdown(socket.SHUT_WR)
                self.assertEqual(await loop.sock_recv(browser, 10), b"")
            async with self.line(rate=1_000_000) as (far, browser):
                browser.shutdown(socket.SHUT_WR)
                self.assertEqual(await loop.sock_recv(far, 10), b"")

        asyncio.run(asyncio.wait_for(test(), PATIENCE))


class PageTests(RealtimeTestMixin, TestCase):
    """What a page and the feed are told by Django."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.ann = get_user_model()._default_manager.create_user("ann")

    def setUp(self) -> None:
        super().setUp()
        self.client.force_login(self.ann)

    def test_the_page_lists_the_companies_and_names_the_channels(self) -> None:
        page = self.client.get("/market/")
        self.assertEqual(len(page.context["script"]["companies"]), COUNT)
        channels = page.context["script"]["channels"]
        wanted = ("quotes:all", "quotes:trend", "depth:", "feed:state")
        self.assertEqual(tuple(channels.values()), wanted)
        self.assertContains(page, '<option value="10000" selected>10,000</option>', html=True)

    def test_the_pace_is_one_of_four(self) -> None:
        for rate in RATES:
            self.assertEqual(self.client.post("/market/pace/", {"rate": rate}).status_code, 200)
            self.assertEqual(Pace.now(), rate)
        with self.assertLogs("django.request", "WARNING"):
            for nonsense in ("", "-1", "7", "1e9", "10000.0"):
                answer = self.client.post("/market/pace/", {"rate": nonsense})
                self.assertEqual(answer.status_code, 400, nonsense)
                self.assertIn("100, 1000, 5000, 10000", answer.json()["error"])
        self.assertEqual(Pace.now(), RATES[-1])
        self.assertEqual(Pace.objects.count(), 1)

    def test_only_users_come_in(self) -> None:
        for channel in ("quotes:all", "depth:KEMT", "feed:state"):
            self.jackfield_client(self.ann).subscribe(channel)
            with self.assertRaises(SubscribeDenied):
                self.jackfield_client(None).subscribe(channel)
        self.client.logout()
        self.assertRedirects(self.client.get("/market/"), "/login/?next=/market/")
        answer = self.client.post("/market/pace/", {"rate": 100})
        self.assertRedirects(answer, "/login/?next=/market/pace/")
        self.assertEqual(Pace.now(), RATES[-1])

    def test_the_clock_goes_on(self) -> None:
        first, second = (self.client.get("/market/clock/").json()["at"] for _ in range(2))
        self.assertLessEqual(first, second)

    def test_the_feed_is_told_what_is_asked_for_and_looked_at(self) -> None:
        feed = Feed(Exchange(seed=1), rate=100)
        watch = Watch(feed)
        Pace.ask_for(5_000)
        looked = {
            "quotes:*": {"quotes:all": 2},
            "depth:*": {f"depth:{SYMBOLS[2]}": 3, "depth:NO": 1},
        }
        with (
            patch("market.management.commands.feed.channels", side_effect=looked.get),
            self.capturePublications(),
        ):
            watch._told, feed.ticks = 10.0, 4_000
            watch.look(now=10.5)
            self.assertEqual((feed.rate, feed.watched), (5_000, {SYMBOLS[2]}))
            self.assertNotPublished("feed:state")
            watch.look(now=12.0)
        [command] = self.assertPublished("feed:state", "second", count=1)
        self.assertEqual(command.data["data"], {"rate": 5_000, "ticks": 2_000})

    def test_a_market_that_nobody_looks_at_is_quiet(self) -> None:
        feed = Feed(Exchange(seed=1), rate=5_000)
        with patch("market.management.commands.feed.channels", return_value={}):
            Watch(feed).look(now=0)
        self.assertEqual((feed.rate, feed.watched), (RATES[0], frozenset()))

    def test_a_rate_of_the_command_line_is_the_feed_s_own(self) -> None:
        feed = Feed(Exchange(seed=1), rate=100)
        with patch("market.management.commands.feed.channels", return_value={}):
            Watch(feed, rate=700).look(now=0)
        self.assertEqual(feed.rate, 700)
