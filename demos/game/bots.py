"""Players that are programs. They know nothing but a TCP port and the twelve bytes of frames.py.

A bot hears the whole arena, ten times a second it looks at it: hunters go for the nearest runner,
runners away from hunters, and else for a spark.
"""

from __future__ import annotations

import logging
import math
import random
import selectors
import socket
import time

from game import frames
from game.arena import RADIUS, SIZE
from game.frames import Kind, Placed, State

THINK_SECONDS = 0.1
AGAIN_SECONDS = 0.4  # a wish is said again, so that nobody takes the bot for gone
NAME_SECONDS = 2.0
PAUSE_SECONDS = 1.0
FRESH_SECONDS = 1.0
AFRAID = 300.0
WALL = 120.0
CLOSE = 5 * RADIUS

log = logging.getLogger(__name__)


class Bot:
    """One player on a socket of its own. With `company` it plays only where a person is."""

    def __init__(self, port: int, name: str, *, company: bool, chance: random.Random) -> None:
        self.port, self.name, self.company, self.chance = port, name, company, chance
        self.socket: socket.socket | None = None
        self.rest = b""
        self.id = 0
        self.figures: dict[int, tuple[float, bytes]] = {}
        self.sparks: dict[int, bytes] = {}
        self.wish = (0.0, 0.0)
        self.said_at = self.named_at = 0.0
        self.think_at = time.monotonic() + chance.uniform(0, THINK_SECONDS)

    # -- the socket

    def dial(self) -> socket.socket:
        """Connects."""
        self.socket = socket.create_connection(("127.0.0.1", self.port), PAUSE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest, self.id, self.named_at = b"", 0, 0.0
        return self.socket

    def read(self, now: float) -> bool:
        """Takes what has come; False at the end of the line."""
        assert self.socket is not None  # noqa: S101 -- for type checkers
        try:
            data = self.rest + self.socket.recv(1 << 16)
        except OSError:
            return False
        if len(data) == len(self.rest):
            return False
        whole = len(data) - len(data) % frames.SIZE
        self.rest = data[whole:]
        for start in range(0, whole, frames.SIZE):
            self.heard(data[start : start + frames.SIZE], now)
        return True

    def heard(self, frame: bytes, now: float) -> None:
        """Notes a frame; it is looked into when the bot thinks."""
        kind, id = frame[0], frame[1]
        if kind == Kind.FIGURE:
            self.figures[id] = now, frame
        elif kind == Kind.SPARK:
            self.sparks[id] = frame
        elif kind == Kind.GONE:
            self.figures.pop(id, None)
        elif kind == Kind.NAME and id and frames.name_of(frame)[1] == self.name:
            self.id = id

    def say(self, frame: bytes) -> None:
        """Sends a frame; a line that is cut is noticed where it is read."""
        assert self.socket is not None  # noqa: S101 -- for type checkers
        try:
            self.socket.sendall(frame)
        except OSError:
            log.info("%s: the line is cut", self.name)

    # -- the player

    def think(self, now: float) -> None:
        """Looks around and says where it wants to go, if that is new or was long ago."""
        self.think_at = max(self.think_at + THINK_SECONDS, now)
        seen = [
            frames.placed_of(one) for at, one in self.figures.values() if now - at < FRESH_SECONDS
        ]
        if self.company and all(one.state & State.BOT for one in seen):
            return  # nobody to play with: ten seconds of silence, and the bot is out
        me = next((one for one in seen if one.id == self.id), None)
        if me is None:
            if now - self.named_at > NAME_SECONDS:
                self.named_at = now
                self.say(frames.name(0, self.name))
            return
        wish = self.wanted(me, seen)
        if turned(wish, self.wish) or now - self.said_at > AGAIN_SECONDS:
            self.wish, self.said_at = wish, now
            self.say(frames.steer(*wish, int(time.time() * 1000)))

    def wanted(self, me: Placed, seen: list[Placed]) -> tuple[float, float]:
        """Where to go."""
        if me.state & State.STUNNED:
            return 0.0, 0.0
        if me.state & State.HUNTER:
            prey = [one for one in seen if not one.state & (State.HUNTER | State.SAFE)]
            return towards(me, nearest(me, prey))
        hunters = [one for one in seen if one.state & State.HUNTER and away(me, one) < AFRAID]
        if hunters and not me.state & State.SAFE:
            return fled(me, hunters)
        sparks = [frames.placed_of(one) for one in self.sparks.values()]
        there = [one for one in sparks if not one.state & State.TAKEN]
        # Each bot likes some sparks better, or all would run for the same.
        taste = {one.id: 0.6 + 0.8 * ((one.id * 31 + self.id * 17) % 10) / 10 for one in there}
        best = min(there, key=lambda one: away(me, one) * taste[one.id], default=None)
        return spread(me, towards(me, best), seen)


def away(me: Placed, other: Placed) -> float:
    """How far it is."""
    return math.hypot(other.x - me.x, other.y - me.y)


def nearest(me: Placed, others: list[Placed]) -> Placed | None:
    """The nearest of them."""
    return min(others, key=lambda one: away(me, one), default=None)


def towards(me: Placed, other: Placed | None) -> tuple[float, float]:
    """The way there; at what is reached, or is nowhere, one stands."""
    if other is None or (distance := away(me, other)) < RADIUS / 3:
        return 0.0, 0.0
    return (other.x - me.x) / distance, (other.y - me.y) / distance


def fled(me: Placed, hunters: list[Placed]) -> tuple[float, float]:
    """Away from hunters, the nearest most, and not into a corner."""
    x = y = 0.0
    for one in hunters:
        distance = max(away(me, one), 1.0)
        x += (me.x - one.x) / distance**2
        y += (me.y - one.y) / distance**2
    length = math.hypot(x, y) or 1.0
    x, y = x / length, y / length
    for near, push_x, push_y in (
        (me.x, 1, 0),
        (SIZE - me.x, -1, 0),
        (me.y, 0, 1),
        (SIZE - me.y, 0, -1),
    ):
        if near < WALL:
            x, y = x + push_x * (1 - near / WALL) * 1.5, y + push_y * (1 - near / WALL) * 1.5
    length = math.hypot(x, y) or 1.0
    return x / length, y / length


def spread(me: Placed, wish: tuple[float, float], seen: list[Placed]) -> tuple[float, float]:
    """A wish that gives way to others near by: who runs in a heap finds little."""
    x, y = wish
    for one in seen:
        distance = away(me, one)
        if one.id != me.id and 0 < distance < CLOSE:
            push = 0.7 * (1 - distance / CLOSE) / distance
            x, y = x + (me.x - one.x) * push, y + (me.y - one.y) * push
    length = max(math.hypot(x, y), 1.0)
    return x / length, y / length


def turned(new: tuple[float, float], old: tuple[float, float]) -> bool:
    """Whether a wish is another one: by more than some nine degrees, or from rest."""
    return math.hypot(new[0] - old[0], new[1] - old[1]) > 0.15


def play(port: int, count: int, *, company: bool, chance: random.Random | None = None) -> None:
    """Lets so many play, for ever."""
    chance = chance or random.SystemRandom()
    tag = f"{chance.randrange(36**2):02x}"[-2:]
    bots = [
        Bot(port, f"bot-{tag}-{number}", company=company, chance=chance)
        for number in range(1, count + 1)
    ]
    dial_at, is_told = 0.0, False
    with selectors.DefaultSelector() as selector:
        while True:
            now = time.monotonic()
            for bot in bots:
                if bot.socket is None and now >= dial_at:
                    try:
                        selector.register(bot.dial(), selectors.EVENT_READ, bot)
                        is_told = False
                    except OSError as error:  # for all of them, then
                        if not is_told:
                            log.warning("No arena at port %d: %s", port, error)
                        dial_at, is_told = now + PAUSE_SECONDS, True
                if bot.socket is not None and now >= bot.think_at:
                    bot.think(now)
            due = min((bot.think_at for bot in bots if bot.socket), default=dial_at)
            for key, _ in selector.select(max(0.0, min(due - time.monotonic(), PAUSE_SECONDS))):
                bot = key.data
                if not bot.read(time.monotonic()):
                    selector.unregister(key.fileobj)
                    bot.socket.close()
                    bot.socket = None
