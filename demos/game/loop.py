"""The one who knows: hears where players want to go, moves them thirty times a second, tells all.

It is a process of its own beside the worker. What players say comes over a TCP connection to the
socket server, as it comes to any other client, so no queue and no Django stands between a key and
the figure that it moves. What the loop tells goes the way of every publication.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import select
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import close_old_connections
from django_jackfield import publish_many
from django_jackfield.errors import PublishError
from django_jackfield.push import Publishable
from django_jackfield.tokens import subscription_token, token

from game import frames
from game.arena import LIMIT, ROOM, Arena, Figure, News, Spark, area_of
from game.frames import Kind, State
from game.lines import Lines
from game.models import Round
from game.realtime import ArenaChannel, FieldChannel, SteerChannel

TICK_SECONDS = 1 / 30
SCORES_SECONDS = 1.0
PAUSE_SECONDS = 0.5
DAY_SECONDS = 24 * 3600
ARENA, FIELD, STEER = (one.name(ROOM) for one in (ArenaChannel, FieldChannel, SteerChannel))

log = logging.getLogger(__name__)


class Loop:
    """One arena. `run` goes on until the process is told to end."""

    def __init__(self, port: int, round_seconds: float) -> None:
        self.port = port
        self.arena = Arena(time.time(), round_seconds)
        self.lines: Lines | None = None
        self.is_cut = False
        self.came: dict[str, float] = {}  # when a player was heard last, for `echo`
        self.areas: dict[int, str] = {}  # of each figure, at the last tick
        self.is_crowd_new = False
        self.is_heard = True  # whether the queue took what was told last
        self.scores_at = 0.0
        self.retold = 0
        self.clerk = ThreadPoolExecutor(1, "results")

    def run(self) -> None:
        """Ticks, and hears in between. With nobody there it waits for somebody."""
        # Who was there before this process began comes again, or is gone.
        everybody = range(1, LIMIT + 1)
        self.tell([(ARENA, frames.gone(id), {"key": f"f{id}"}) for id in everybody])
        due = time.time()
        while True:
            self.hear_until(due)
            now = time.time()
            self.tick(now)
            due += TICK_SECONDS
            if due < now:  # one tick took longer than its time: the ones it swallowed are left out
                due = now + TICK_SECONDS
            if not self.arena.figures:
                self.hear_until(now + SCORES_SECONDS, some=True)
                due = time.time()

    # -- what is heard

    def hear_until(self, due: float, *, some: bool = False) -> None:
        """Takes what players say until a time, or until there is `some`."""
        while (left := due - time.time()) > 0:
            if self.lines is None and not self.dial():
                time.sleep(min(left, PAUSE_SECONDS))
                continue
            assert self.lines is not None  # noqa: S101 -- for type checkers
            if not select.select([self.lines.socket], [], [], left)[0]:
                return
            try:
                for channel, publication in self.lines.publications():
                    self.heard(channel, publication, time.time())
            except (OSError, ValueError) as error:
                log.warning("The line to the server is cut: %s", error)
                self.lines.close()
                self.lines = None
            if some:
                return

    def dial(self) -> bool:
        """Opens the line; whether it stands. Tokens count when it is opened, and for a day."""
        hears_bots = {"channel": FIELD, "tf": {"key": "area", "cmp": "nex"}}
        ticket = subscription_token("arena", STEER, ttl=DAY_SECONDS)
        channels = [{"channel": STEER, "token": ticket}, hears_bots]
        try:
            self.lines = Lines(self.port, token("arena", ttl=DAY_SECONDS), channels)
        except (OSError, ValueError) as error:
            if not self.is_cut:
                log.warning("No line to the server at port %d: %s", self.port, error)
            self.is_cut = True
            return False
        self.is_cut = False
        return True

    def heard(self, channel: str, publication: dict[str, Any], now: float) -> None:
        """One thing that a player said. The server says whose it is."""
        info, data = publication.get("info"), publication.get("data")
        if not info:
            return  # our own
        if channel == STEER:
            frame = bytes_of(data)
            name = (info.get("conn_info") or {}).get("name") or f"user {info['user']}"
            if info["user"] and (steer := frames.steer_of(frame)):
                self.steered(f"u{info['user']}", name, steer, now, is_bot=False)
        elif isinstance(data, dict):
            who, said = f"c{info['client']}", data.get("data", {})
            if data.get("event") == "name":
                if said["id"] == 0:
                    self.named(who, said["name"] or "bot", now)
            elif data.get("event") == "steer":
                wish = said["x"] / frames.FULL, said["y"] / frames.FULL
                self.steered(who, "bot", (*wish, said["sent"]), now, is_bot=True)

    def steered(
        self, who: str, name: str, steer: tuple[float, float, int], now: float, *, is_bot: bool
    ) -> None:
        """A wish; who is not in the arena is let in."""
        if who not in self.arena.figures:
            if self.arena.enter(who, name, is_bot=is_bot, now=now) is None:
                return
            self.is_crowd_new = True
        *wish, sent = steer
        self.arena.steer(who, (wish[0], wish[1]), int(sent), now)
        self.came[who] = now

    def named(self, who: str, name: str, now: float) -> None:
        """A bot says its name; the answer says which figure is its own."""
        if figure := self.arena.enter(who, name, is_bot=True, now=now):
            figure.heard = now
            told = {"event": "name", "data": {"id": figure.id, "name": name}}
            self.tell([(FIELD, told, {"key": f"n{figure.id}"})])
            self.is_crowd_new = True

    # -- what is told

    def tick(self, now: float) -> None:
        """A thirtieth of a second."""
        news = self.arena.step(now)
        if news.over is not None:
            self.store(news.over)
        items = [*self.told_of_figures(news, now), *self.told_of_sparks(news, now)]
        if self.is_crowd_new or news.gone:
            items.append(event("crowd", self.crowd()))
        items += [
            event("tag", {"by": by.id, "whom": whom.id, "points": points, "at": milliseconds(now)})
            for by, whom, points in news.tags
        ]
        if self.arena.figures and (self.is_crowd_new or now - self.scores_at >= SCORES_SECONDS):
            items.append(event("scores", self.scores(now)))
            self.scores_at = now
        self.is_crowd_new = False
        self.tell(items)

    def told_of_figures(self, news: News, now: float) -> Iterator[Publishable]:
        """Where each is; one that goes from area to area is told of in both."""
        for figure in self.arena.figures.values():
            area = area_of(figure.x, figure.y)
            before = self.areas.get(figure.id, area)
            self.areas[figure.id] = area
            frame = self.frame(figure, now)
            if before != area:
                yield placed(ARENA, frame, f"f{figure.id}", before)
            yield placed([ARENA, FIELD], frame, f"f{figure.id}", area)
        for figure in news.gone:
            self.came.pop(figure.who, None)
            area = self.areas.pop(figure.id, area_of(figure.x, figure.y))
            yield placed([ARENA, FIELD], frames.gone(figure.id), f"f{figure.id}", area)

    def frame(self, figure: Figure, now: float) -> bytes:
        """The twelve bytes of a figure."""
        held = round((now - self.came.get(figure.who, now)) * 1000)
        return frames.placed(
            Kind.FIGURE,
            figure.id,
            figure.x,
            figure.y,
            figure.facing,
            figure.state(now),
            milliseconds(now),
            figure.sent + held,
        )

    def told_of_sparks(self, news: News, now: float) -> Iterator[Publishable]:
        """What has changed; and one of all in turn, for bots, who begin without a snapshot."""
        for spark in news.lost:
            frame = spark_frame(spark, State.TAKEN, now)
            yield placed([ARENA, FIELD], frame, f"s{spark.id}", area_of(spark.x, spark.y))
        self.retold = (self.retold + 1) % len(self.arena.sparks)
        if self.arena.figures:
            for spark in (*news.sparks, self.arena.sparks[self.retold]):
                frame = spark_frame(spark, State.THERE, now)
                yield placed([ARENA, FIELD], frame, f"s{spark.id}", area_of(spark.x, spark.y))

    def crowd(self) -> list[dict[str, Any]]:
        """Who is there; `user` tells a page which is its own."""
        return [
            {"id": one.id, "name": one.name}
            | ({} if one.is_bot else {"user": one.who.removeprefix("u")})
            for one in self.arena.figures.values()
        ]

    def scores(self, now: float) -> dict[str, Any]:
        """Points by id, when the round ends, and the time by which that is said."""
        return {
            "scores": {one.id: one.score for one in self.arena.figures.values()},
            "now": milliseconds(now),
            "ends": milliseconds(self.arena.ends),
        }

    def tell(self, items: list[Publishable]) -> None:
        """Publishes. What is lost here is told anew by the next tick."""
        try:
            publish_many(items, on_commit=False, outbox=False)
        except PublishError as error:
            if self.is_heard:
                log.warning("The queue does not take what the arena tells: %s", error)
            self.is_heard, self.is_crowd_new = False, True
        else:
            self.is_heard = True

    def store(self, standings: list[Any]) -> None:
        """Hands a round to the thread that writes: a tick does not wait for a disk."""
        if standings:
            self.clerk.submit(stored, standings).add_done_callback(complain)


def stored(standings: list[Any]) -> None:
    """Writes down a round."""
    close_old_connections()
    Round.store(standings)


def complain(done: Future[None]) -> None:
    """Tells the log of a round that could not be stored."""
    if error := done.exception():
        log.error("The round could not be stored", exc_info=error)


def placed(channel: str | list[str], frame: bytes, key: str, area: str) -> Publishable:
    """A publication of twelve bytes: the newest of its key, for who hears its area."""
    return channel, frame, {"key": key, "tags": {"area": area}}


def event(name: str, data: Any) -> Publishable:
    """A publication for all pages, wherever they look. The newest of its name is kept."""
    return ARENA, {"event": name, "data": data}, {"key": name}


def spark_frame(spark: Spark, state: State, now: float) -> bytes:
    """The twelve bytes of a spark."""
    return frames.placed(Kind.SPARK, spark.id, spark.x, spark.y, 0.0, state, milliseconds(now))


def milliseconds(seconds: float) -> int:
    """As clocks in browsers tell the time."""
    return int(seconds * 1000)


def bytes_of(data: Any) -> bytes:
    """A binary publication, as a client of JSON is handed it."""
    with contextlib.suppress(ValueError):
        return base64.b64decode(data) if isinstance(data, str) else b""
    return b""
