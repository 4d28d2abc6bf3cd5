"""The game itself: figures, sparks, hunters and rounds. No socket, no clock: time is handed in.

Runners collect sparks, a point each. Hunters take five points of whom they touch, and then it is
the other who hunts. A round lasts three minutes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from game.frames import State

ROOM = 1  # there is one
SIZE = 2400.0
AREA = 300.0  # what a player may ask to hear of, by `area_of`
RADIUS = 18.0
REACH = RADIUS + 10  # of a runner, for sparks
LIMIT = 60
SPARKS = 80
RUN, HUNT = 230.0, 250.0  # units a second
LOOT = 5
PER_HUNTER = 7
SAFE_SECONDS, STUN_SECONDS = 3.0, 1.2
QUIET_SECONDS, GONE_SECONDS = 1.5, 10.0
ROUND_SECONDS = 180.0


@dataclass(slots=True)
class Figure:
    """A player in the arena. `who` is its user or its connection."""

    id: int
    who: str
    name: str
    is_bot: bool
    x: float
    y: float
    heard: float
    wish: tuple[float, float] = (0.0, 0.0)
    sent: int = 0
    facing: float = 0.0
    score: int = 0
    is_hunter: bool = False
    safe_until: float = 0.0
    stunned_until: float = 0.0

    def state(self, now: float) -> State:
        """As others see it."""
        found = State.BOT if self.is_bot else State.THERE
        if self.is_hunter:
            found |= State.HUNTER
        if now < self.safe_until:
            found |= State.SAFE
        if now < self.stunned_until:
            found |= State.STUNNED
        if now - self.heard > QUIET_SECONDS:
            found |= State.AWAY
        return found


@dataclass(slots=True)
class Spark:
    """A point that lies about."""

    id: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody has reached in a round."""

    who: str
    name: str
    score: int
    is_bot: bool


@dataclass(slots=True)
class News:
    """What a step brought, beside that everybody has moved."""

    lost: list[Spark] = field(default_factory=list)  # where they were
    sparks: list[Spark] = field(default_factory=list)
    gone: list[Figure] = field(default_factory=list)
    tags: list[tuple[Figure, Figure, int]] = field(default_factory=list)  # by whom, whom, points
    over: list[Standing] | None = None


class Arena:
    """Invariant: ids of figures are 1 to LIMIT, and belong to nobody else while they are there."""

    def __init__(
        self, now: float, round_seconds: float = ROUND_SECONDS, chance: random.Random | None = None
    ) -> None:
        self.chance = chance or random.SystemRandom()
        self.figures: dict[str, Figure] = {}
        self.sparks = [Spark(id, *self._place()) for id in range(SPARKS)]
        self.round_seconds = round_seconds
        self.ends = now + round_seconds
        self.now = now
        self._left: dict[str, Standing] = {}  # who has left has its points, until the round ends

    def enter(self, who: str, name: str, *, is_bot: bool, now: float) -> Figure | None:
        """The figure of a player, new if it has none. None: there is no room."""
        if figure := self.figures.get(who):
            figure.name = name
            return figure
        free = set(range(1, LIMIT + 1)) - {one.id for one in self.figures.values()}
        if not free:
            return None
        if not self.figures:
            self.ends = now + self.round_seconds  # whoever comes first has a whole round
        figure = Figure(min(free), who, name, is_bot, *self._place(), heard=now)
        figure.safe_until = now + SAFE_SECONDS
        if left := self._left.pop(who, None):
            figure.score = left.score
        self.figures[who] = figure
        return figure

    def steer(self, who: str, wish: tuple[float, float], sent: int, now: float) -> None:
        """Where a player wants to go. A wish longer than 1 is no faster."""
        figure = self.figures[who]
        length = math.hypot(*wish)
        figure.wish = wish if length <= 1 else (wish[0] / length, wish[1] / length)
        figure.sent, figure.heard = sent, now

    def step(self, now: float) -> News:
        """Moves everything to a time, and says what came of it."""
        seconds, self.now = min(now - self.now, 0.2), now  # a loop that stood still does not jump
        news = News()
        for figure in list(self.figures.values()):
            if now - figure.heard > GONE_SECONDS:
                news.gone.append(self.figures.pop(figure.who))
                self._left[figure.who] = standing(figure)
            else:
                self._move(figure, now, seconds)
        self._choose_hunters()
        self._tag(now, news)
        self._collect(now, news)
        if now >= self.ends:
            news.over = self._end(now)
        return news

    def _move(self, figure: Figure, now: float, seconds: float) -> None:
        if now < figure.stunned_until or now - figure.heard > QUIET_SECONDS:
            return  # who is not heard stands still, so nobody runs into a wall behind a dead line
        speed = HUNT if figure.is_hunter else RUN
        x, y = figure.wish
        figure.x = min(max(figure.x + x * speed * seconds, RADIUS), SIZE - RADIUS)
        figure.y = min(max(figure.y + y * speed * seconds, RADIUS), SIZE - RADIUS)
        if x or y:
            figure.facing = math.atan2(y, x)

    def _choose_hunters(self) -> None:
        """One for some players; who plays alone is not hunted."""
        count = len(self.figures)
        wanted = 0 if count < 2 else max(1, count // PER_HUNTER)
        hunters = [one for one in self.figures.values() if one.is_hunter]
        for figure in hunters[wanted:]:
            figure.is_hunter = False
        runners = [one for one in self.figures.values() if not one.is_hunter]
        for figure in self.chance.sample(runners, max(wanted - len(hunters), 0)):
            figure.is_hunter = True

    def _tag(self, now: float, news: News) -> None:
        for hunter in [one for one in self.figures.values() if one.is_hunter]:
            if now < hunter.stunned_until:
                continue
            for figure in self.figures.values():
                if figure.is_hunter or now < figure.safe_until:
                    continue
                if touch(hunter, figure.x, figure.y, 2 * RADIUS):
                    points = min(figure.score, LOOT)
                    figure.score, hunter.score = figure.score - points, hunter.score + points
                    figure.is_hunter, figure.stunned_until = True, now + STUN_SECONDS
                    hunter.is_hunter, hunter.safe_until = False, now + SAFE_SECONDS
                    news.tags.append((hunter, figure, points))
                    break

    def _collect(self, now: float, news: News) -> None:
        runners = [one for one in self.figures.values() if not one.is_hunter]
        for spark in self.sparks:
            # Why by hand: of all pairs nearly none is near, and a tick reckons little else.
            left, right = spark.x - REACH, spark.x + REACH
            for figure in runners:
                if left < figure.x < right and touch(figure, spark.x, spark.y, REACH):
                    figure.score += 1
                    news.lost.append(Spark(spark.id, spark.x, spark.y))
                    spark.x, spark.y = self._place()
                    news.sparks.append(spark)
                    break

    def _end(self, now: float) -> list[Standing]:
        """Who has reached what; then all begin at nothing, where they are."""
        found = [*(standing(one) for one in self.figures.values()), *self._left.values()]
        self._left.clear()
        for figure in self.figures.values():
            figure.score = 0
        self.ends = now + self.round_seconds
        return sorted((one for one in found if one.score), key=lambda one: (-one.score, one.name))

    def _place(self) -> tuple[float, float]:
        margin = 3 * RADIUS
        return self.chance.uniform(margin, SIZE - margin), self.chance.uniform(
            margin, SIZE - margin
        )


def standing(figure: Figure) -> Standing:
    """What a figure has reached so far."""
    return Standing(figure.who, figure.name, figure.score, figure.is_bot)


def touch(figure: Figure, x: float, y: float, distance: float) -> bool:
    """Whether a figure is as near as that."""
    return (figure.x - x) ** 2 + (figure.y - y) ** 2 <= distance**2


def area_of(x: float, y: float) -> str:
    """The interest key of a place: `3:4`."""
    return f"{int(x // AREA)}:{int(y // AREA)}"
