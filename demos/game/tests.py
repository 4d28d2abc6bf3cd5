"""The rules of the arena, the twelve bytes, what the loop tells, what bots want, what is stored."""

from __future__ import annotations

import base64
import math
import random
import time
from typing import Any

from django.contrib.auth import get_user_model
from django.test import SimpleTestCase, TestCase
from django_jackfield.test import RealtimeTestMixin, SubscribeDenied

from game import frames
from game.arena import (
    GONE_SECONDS,
    LIMIT,
    QUIET_SECONDS,
    RUN,
    SAFE_SECONDS,
    SIZE,
    STUN_SECONDS,
    Arena,
    Figure,
    Standing,
    area_of,
)
from game.bots import CLOSE, Bot, towards
from game.frames import Kind, Placed, State
from game.loop import ARENA, FIELD, STEER, Loop
from game.models import Result, Round

STEP = 1 / 30
CHANCE = random.Random(7)  # noqa: S311 -- a game, and the same one each time


def arena(*names: str, seconds: float = 180) -> tuple[Arena, list[Figure]]:
    """Figures that stand far from each other, from every spark and from every hunter."""
    made = Arena(0.0, seconds, CHANCE)
    made.sparks.clear()
    found = [made.enter(name, name, is_bot=False, now=0.0) for name in names]
    figures = [one for one in found if one]
    for number, figure in enumerate(figures):
        figure.x, figure.y, figure.safe_until = 200.0 + 400 * number, 200.0, 0.0
    return made, figures


def put(made: Arena, x: float, y: float) -> None:
    """A spark."""
    made.sparks = [type("Spark", (), {"id": 3, "x": x, "y": y})()]


class ArenaTests(SimpleTestCase):
    """Figures move, collect, hunt, leave; rounds end."""

    def test_a_wish_moves_a_figure_and_never_faster_than_it_runs(self) -> None:
        made, [ann] = arena("ann")
        for wish in ((1.0, 0.0), (30.0, 40.0)):
            before = ann.x, ann.y
            made.steer("ann", wish, 0, made.now)
            made.step(made.now + STEP)
            self.assertAlmostEqual(math.dist(before, (ann.x, ann.y)), RUN * STEP)

    def test_walls_hold(self) -> None:
        made, [ann] = arena("ann")
        for _ in range(600):
            made.steer("ann", (-1.0, 1.0), 0, made.now)
            made.step(made.now + STEP)
        self.assertLess(ann.x, 30)
        self.assertLess(SIZE - ann.y, 30)

    def test_a_loop_that_stood_still_throws_nobody_across(self) -> None:
        made, [ann] = arena("ann")
        made.steer("ann", (1.0, 0.0), 0, 1.0)
        before = ann.x
        made.step(1.4)
        self.assertLess(ann.x - before, RUN * 0.21)

    def test_a_spark_is_a_point_and_lies_elsewhere_then(self) -> None:
        made, [ann] = arena("ann")
        put(made, ann.x + 5, ann.y)
        news = made.step(STEP)
        self.assertEqual(ann.score, 1)
        [lost], [new] = news.lost, news.sparks
        self.assertEqual((lost.x, lost.y), (ann.x + 5, ann.y))
        self.assertNotEqual((new.x, new.y), (lost.x, lost.y))
        self.assertEqual(made.step(2 * STEP).lost, [])

    def test_hunters_collect_nothing(self) -> None:
        made, figures = arena("ann", "bob")
        made.step(STEP)
        [hunter] = [one for one in figures if one.is_hunter]
        put(made, hunter.x, hunter.y)
        self.assertEqual(made.step(2 * STEP).lost, [])
        self.assertEqual(hunter.score, 0)

    def test_who_is_touched_loses_five_points_and_hunts(self) -> None:
        made, figures = arena("ann", "bob")
        made.step(STEP)
        [hunter], [runner] = (
            [one for one in figures if one.is_hunter == wanted] for wanted in (True, False)
        )
        runner.score, runner.x = 7, hunter.x
        [(by, whom, points)] = made.step(2 * STEP).tags
        self.assertEqual((by, whom, points), (hunter, runner, 5))
        self.assertEqual((hunter.score, runner.score), (5, 2))
        self.assertTrue(runner.is_hunter)
        self.assertFalse(hunter.is_hunter)
        # Side by side as they are: nobody is touched again before the one who ran is safe no more.
        for who in ("ann", "bob"):
            made.steer(who, (0.0, 0.0), 0, 1.0)
        self.assertEqual(made.step(STUN_SECONDS + 0.1).tags, [])
        for who in ("ann", "bob"):
            made.steer(who, (0.0, 0.0), 0, SAFE_SECONDS)
        self.assertEqual(len(made.step(SAFE_SECONDS + 0.2).tags), 1)

    def test_one_hunter_for_some_players_and_none_for_one(self) -> None:
        for count, hunters in ((1, 0), (2, 1), (13, 1), (14, 2), (50, 7)):
            made, figures = arena(*map(str, range(count)))
            made.step(STEP)
            self.assertEqual(sum(one.is_hunter for one in figures), hunters, count)

    def test_who_is_not_heard_stands_still_and_is_gone_after_ten_seconds(self) -> None:
        made, [ann] = arena("ann")
        ann.score = 4
        made.steer("ann", (1.0, 0.0), 0, 0.0)
        made.step(QUIET_SECONDS + 0.1)
        place = ann.x
        self.assertTrue(ann.state(made.now) & State.AWAY)
        self.assertEqual(made.step(GONE_SECONDS).gone, [])
        self.assertEqual(ann.x, place)
        self.assertIs(made.enter("ann", "ann", is_bot=False, now=made.now), ann, "still there")
        self.assertEqual(made.step(GONE_SECONDS + 0.1).gone, [ann])
        again = made.enter("ann", "ann", is_bot=False, now=made.now)
        self.assertEqual(again.score, 4, "points are kept until the round ends")

    def test_the_arena_is_full_at_some_time(self) -> None:
        made, figures = arena(*map(str, range(LIMIT)))
        self.assertEqual({one.id for one in figures}, set(range(1, LIMIT + 1)))
        self.assertIsNone(made.enter("late", "late", is_bot=False, now=0.0))
        made.figures.pop("5")
        late = made.enter("late", "late", is_bot=False, now=0.0)
        self.assertEqual(late.id, 6)

    def test_a_round_ends_with_all_who_have_points(self) -> None:
        made, [ann, bob, _cy] = arena("ann", "bob", "cy", seconds=GONE_SECONDS + 5)
        ann.score, bob.score = 3, 9
        for second in range(1, 15):
            for who in ("ann", "cy"):
                made.steer(who, (0.0, 0.0), 0, float(second))
            self.assertIsNone(made.step(float(second)).over)
        over = made.step(GONE_SECONDS + 5).over
        self.assertEqual([(one.name, one.score) for one in over], [("bob", 9), ("ann", 3)])
        self.assertNotIn("bob", made.figures, "who has left counts")
        self.assertEqual(ann.score, 0)
        self.assertEqual(made.ends, 2 * (GONE_SECONDS + 5))


class FramesTests(SimpleTestCase):
    """Twelve bytes."""

    def test_what_is_written_is_what_is_read(self) -> None:
        frame = frames.placed(Kind.FIGURE, 7, 1234.5, 0.0625, math.pi, 5, 70_000, -1)
        self.assertEqual(frame.hex(), "03074d280001800511" + "70" + "ffff")
        self.assertEqual(
            frames.placed_of(frame), Placed(3, 7, 1234.5, 0.0625, math.pi, 5, 4464, 65535)
        )
        self.assertEqual(frames.steer(-1, 0.5, 258).hex(), "01814001020000000000" + "0000")
        self.assertEqual(frames.steer_of(frames.steer(-1, 1, 9)), (-1.0, 1.0, 9))
        self.assertEqual(frames.gone(4), b"\x05\x04" + bytes(10))
        for other in (frame, b"", b"\x01", frames.steer(0, 0, 0) + b"\0"):
            self.assertIsNone(frames.steer_of(other))

    def test_a_name_is_cut_between_letters(self) -> None:
        for text, kept in (("bob", "bob"), ("ünïcödé!", "ünïcöd"), ("", "")):
            frame = frames.name(3, text)
            self.assertEqual(len(frame), 12)
            self.assertEqual(frames.name_of(frame), (3, kept))


class Told(Loop):
    """A loop whose publications stay here."""

    def __init__(self, **more: Any) -> None:
        super().__init__(port=0, round_seconds=180, **more)
        self.told: list[Any] = []

    def tell(self, items: Any) -> None:
        self.told += items

    def events(self, name: str) -> list[Any]:
        """The data of the events with a name."""
        said = [item[1] for item in self.told if isinstance(item[1], dict)]
        return [one["data"] for one in said if one["event"] == name]

    def placed(self, kind: Kind) -> list[tuple[Any, str, Placed]]:
        """Frames of a kind, with their channels and areas."""
        return [
            (item[0], item[2]["tags"]["area"], frames.placed_of(item[1]))
            for item in self.told
            if isinstance(item[1], bytes) and item[1][0] == kind
        ]


class LoopTests(SimpleTestCase):
    """What is heard, and what is told."""

    def setUp(self) -> None:
        self.loop = Told()
        self.now = time.time()

    def page_steers(self, user: str, frame: bytes, name: str = "ann") -> None:
        """As the server hands it on."""
        info = {"user": user, "client": "k", "conn_info": {"name": name}}
        data = base64.b64encode(frame).decode()
        self.loop.heard(STEER, {"data": data, "info": info}, self.now)

    def bot_says(self, client: str, event: str, **data: Any) -> None:
        """The same of a bot."""
        said = {"data": {"event": event, "data": data}, "info": {"user": "", "client": client}}
        self.loop.heard(FIELD, said, self.now)

    def test_a_page_comes_in_and_moves(self) -> None:
        self.page_steers("5", frames.steer(1, 0, 500))
        self.loop.tick(self.now)
        self.assertEqual(self.loop.events("crowd"), [[{"id": 1, "name": "ann", "user": "5"}]])
        [(channels, area, before)] = self.loop.placed(Kind.FIGURE)
        self.assertEqual(channels, [ARENA, FIELD])
        self.assertEqual(area, area_of(before.x, before.y))
        self.loop.told.clear()
        self.page_steers("5", frames.steer(1, 0, 600))
        self.loop.tick(self.now + 0.05)
        after = self.loop.placed(Kind.FIGURE)[-1][2]
        self.assertGreater(after.x, before.x)
        self.assertEqual(after.echo, 650, "what was sent, and the 50 ms that the loop had it")
        self.assertEqual(self.loop.events("crowd"), [], "nobody new")

    def test_who_crosses_into_an_area_is_told_of_in_both(self) -> None:
        self.page_steers("5", frames.steer(1, 0, 0))
        [ann] = self.loop.arena.figures.values()
        ann.x, ann.y = 299.0, 100.0
        self.loop.tick(self.now)
        self.loop.told.clear()
        self.loop.tick(self.now + 0.05)
        told = [(channel, area) for channel, area, _ in self.loop.placed(Kind.FIGURE)]
        self.assertEqual(told, [(ARENA, "0:0"), ([ARENA, FIELD], "1:0")])

    def test_nonsense_and_strangers_bring_nobody_in(self) -> None:
        for frame in (b"", b"\x03" * 12, frames.name(0, "x")):
            self.page_steers("5", frame)
        self.page_steers("", frames.steer(1, 0, 0))
        for data in (None, 7, "@@", {"event": "steer"}, ["x"]):
            info = {"user": "5", "client": "k"}
            self.loop.heard(STEER, {"data": data, "info": info}, self.now)
        self.loop.heard(FIELD, {"data": {"event": "name", "data": {"id": 0}}}, self.now)
        self.assertEqual(self.loop.arena.figures, {})

    def test_a_bot_says_its_name_and_is_told_its_number(self) -> None:
        self.page_steers("5", frames.steer(0, 0, 0))
        self.bot_says("b1", "name", id=0, name="robo")
        self.assertEqual(self.loop.events("name"), [{"id": 2, "name": "robo"}])
        self.bot_says("b1", "steer", x=127, y=0, sent=9)
        self.bot_says("b1", "name", id=2, name="liar")
        bot = self.loop.arena.figures["cb1"]
        self.assertEqual((bot.wish, bot.name, bot.is_bot), ((1.0, 0.0), "robo", True))

    def test_what_is_collected_is_told_gone_here_and_there_elsewhere(self) -> None:
        self.page_steers("5", frames.steer(0, 0, 0))
        [ann], spark = self.loop.arena.figures.values(), self.loop.arena.sparks[3]
        self.loop.arena.sparks = [spark]
        spark.x, spark.y = ann.x, ann.y
        self.loop.tick(self.now)
        taken, there, *_ = [one for _, _, one in self.loop.placed(Kind.SPARK)]
        self.assertEqual((taken.id, taken.state, there.id, there.state), (3, State.TAKEN, 3, 0))
        self.assertEqual(self.loop.events("scores")[-1]["scores"], {1: 1})

    def test_who_leaves_is_told_gone(self) -> None:
        self.page_steers("5", frames.steer(0, 0, 0))
        self.loop.tick(self.now)
        self.loop.told.clear()
        self.loop.tick(self.now + GONE_SECONDS + 1)
        [(channels, _, left)] = self.loop.placed(Kind.GONE)
        self.assertEqual((channels, left.id), ([ARENA, FIELD], 1))
        self.assertEqual(self.loop.events("crowd"), [[]])

    def test_with_nobody_there_nothing_is_told(self) -> None:
        for tick in range(90):
            self.loop.tick(self.now + tick * STEP)
        self.assertEqual(self.loop.told, [])


class BotTests(SimpleTestCase):
    """Where a bot wants to go."""

    def setUp(self) -> None:
        self.bot = Bot(0, "robo", company=False, chance=CHANCE)
        self.bot.id = 1

    def sees(self, x: float, y: float, state: int = 0, id: int = 2) -> Placed:
        """A figure."""
        return Placed(Kind.FIGURE, id, x, y, 0.0, state, 0, 0)

    def test_a_hunter_goes_for_the_nearest_runner(self) -> None:
        me = self.sees(500, 500, State.HUNTER, id=1)
        others = [
            self.sees(500, 900),
            self.sees(300, 500, id=3),
            self.sees(510, 500, State.SAFE, id=4),
            self.sees(490, 500, State.HUNTER, id=5),
        ]
        self.assertEqual(self.bot.wanted(me, [me, *others]), (-1.0, 0.0))
        self.assertEqual(self.bot.wanted(me, [me]), (0.0, 0.0))

    def test_a_runner_runs_from_a_hunter_and_not_into_the_wall(self) -> None:
        me = self.sees(1000, 1000, id=1)
        x, y = self.bot.wanted(me, [me, self.sees(1100, 1000, State.HUNTER)])
        self.assertEqual((round(x, 6), round(y, 6)), (-1.0, 0.0))
        cornered = self.sees(20, 1000, id=1)
        x, _ = self.bot.wanted(cornered, [cornered, self.sees(200, 1000, State.HUNTER)])
        self.assertGreater(x, 0)

    def test_else_it_goes_for_a_spark_that_is_there(self) -> None:
        me = self.sees(1000, 1000, id=1)
        for id, y, state in ((1, 950.0, State.TAKEN), (2, 800.0, State.THERE)):
            self.bot.heard(frames.placed(Kind.SPARK, id, 1000.0, y, 0, state, 0), 0.0)
        self.assertEqual(self.bot.wanted(me, [me, self.sees(1900, 1000, State.HUNTER)]), (0, -1))

    def test_it_gives_way_to_who_is_close(self) -> None:
        me = self.sees(1000, 1000, id=1)
        self.bot.heard(frames.placed(Kind.SPARK, 2, 1000.0, 800.0, 0, State.THERE, 0), 0.0)
        x, y = self.bot.wanted(me, [me, self.sees(1040, 1000)])
        self.assertLess(x, -0.1)
        self.assertLess(y, -0.5)
        self.assertLessEqual(math.hypot(x, y), 1.0 + 1e-9)
        far = self.sees(1000 + CLOSE, 1000)
        self.assertEqual(self.bot.wanted(me, [me, far]), (0.0, -1.0))

    def test_it_knows_itself_by_its_name(self) -> None:
        for id, name in ((0, "robo"), (9, "other"), (4, "robo")):
            self.bot.id = 0
            self.bot.heard(frames.name(id, name), 0.0)
            self.assertEqual(self.bot.id, 4 if id == 4 else 0)

    def test_at_its_goal_it_stands(self) -> None:
        self.assertEqual(towards(self.sees(5, 5), self.sees(5, 6)), (0.0, 0.0))


class ResultTests(RealtimeTestMixin, TestCase):
    """What is stored, who hears, and the page."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.ann = get_user_model()._default_manager.create_user("ann")

    def test_a_round_is_stored_and_told(self) -> None:
        standings = [
            Standing(f"u{self.ann.pk}", "ann", 12, False),
            Standing("c1-2", "robo", 7, True),
            Standing("u999", "nobody any more", 3, False),
        ]
        with self.capturePublications():
            Round.store(standings)
            Round.store([Standing("c1-2", "robo", 20, True), standings[0]])
        told = [command.data["data"] for command in self.assertPublished(ARENA, "over", count=2)]
        self.assertEqual([one["score"] for one in told[0]["first"]], [12, 7, 3])
        self.assertEqual(
            [(one["name"], one["score"]) for one in told[1]["best"]],
            [("ann", 12), ("ann", 12), ("nobody any more", 3)],
        )
        self.assertEqual(
            list(Result.objects.order_by("pk").values_list("user", flat=True)),
            [self.ann.pk, None, None, None, self.ann.pk],
        )

    def test_players_hear_the_arena_and_only_the_loop_hears_wishes(self) -> None:
        page = self.jackfield_client(self.ann)
        page.subscribe(ARENA)
        page.subscribe(FIELD)
        with self.assertRaises(SubscribeDenied):
            page.subscribe(STEER)
        with self.assertRaises(SubscribeDenied):
            self.jackfield_client(None).subscribe(ARENA)

    def test_the_page_and_its_tokens(self) -> None:
        self.assertRedirects(self.client.get("/game/"), "/login/?next=/game/")
        self.client.force_login(self.ann)
        Round.store([Standing(f"u{self.ann.pk}", "ann", 20, False)])
        page = self.client.get("/game/")
        self.assertEqual(page.context["script"]["best"][0]["score"], 20)
        self.assertEqual(page.context["script"]["round"], Round.objects.get().pk)
        token = self.client.get("/game/token/").json()["token"]
        claims = base64.urlsafe_b64decode(token.split(".")[1] + "==")
        self.assertIn(b'"info":{"name":"ann"}', claims)
