"""Channel classes, functions and what a dispatcher makes of events."""

import json
import uuid

import pytest
from django.contrib.auth.models import User

from django_jackfield import Channel, ClientError, Refuse, on, rpc
from django_jackfield.context import Context
from django_jackfield.dispatch import Dispatcher
from django_jackfield.errors import EventError
from django_jackfield.event import Event
from django_jackfield.registry import discover, isolated
from django_jackfield.signals import node_lost
from workers import BY_NAME, EXAMPLES


@pytest.fixture
def dispatcher():
    return Dispatcher(discover())


@pytest.fixture
def registry():
    with isolated() as empty:
        yield empty


def call(dispatcher, method, data):
    fields = BY_NAME["rpc call"] | {"event": method, "data": json.dumps(data)}
    outcome = dispatcher.handle(Event.from_fields(fields))
    said = json.loads(outcome.answer)
    assert said.pop("v") == 1
    assert said.pop("id") == fields["id"]
    return said


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one["name"])
def test_every_example_is_read(example):
    event = Event.from_fields(example["fields"])
    again = Event.from_fields({k: v.encode() for k, v in example["fields"].items()})
    assert event == again
    for name in ("id", "type", "node", "client", "channel", "listener", "remote"):
        assert getattr(event, name) == example["fields"].get(name, "")
    assert event.seq == int(example["fields"].get("seq", "0"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"v": "2"},
        {"id": ""},
        {"type": "other"},
        {"seq": "x"},
        {"seq": "9" * 30},
        {"meta": "[]"},
        {"meta": "{"},
        {"content": "xml"},
        {"user": b"\xff"},
    ],
)
def test_what_breaks_the_contract_is_refused(wrong):
    with pytest.raises(EventError):
        Event.from_fields(BY_NAME["raw text"] | wrong)


@pytest.mark.parametrize(
    ("method", "data", "answer"),
    [
        ("rooms.rename", {"pk": 7, "title": "x"}, {"result": {"data": {"pk": 7, "title": "x"}}}),
        ("echo", [1, None], {"result": {"data": [1, None]}}),
        ("whoami", {"anything": 1}, {"result": {"data": "42"}}),
        ("nope", None, {"error": {"code": 104, "message": "method not found", "temporary": False}}),
        ("deny", 1, {"error": {"code": 103, "message": "permission denied", "temporary": False}}),
        ("full", 1, {"error": {"code": 409, "message": "room is full", "temporary": True}}),
        ("kick", 1, {"disconnect": {"code": 4403, "reason": "banned"}}),
        (
            "broken",
            1,
            {"error": {"code": 100, "message": "internal server error", "temporary": True}},
        ),
    ],
)
def test_rpc_answers(dispatcher, method, data, answer):
    assert call(dispatcher, method, data) == answer


@pytest.mark.parametrize("data", [{}, {"pk": 1, "other": 2}, {"pk": 1, "ctx": 2}, [1], "x"])
def test_arguments_by_name_are_held_against_the_signature(dispatcher, data):
    assert call(dispatcher, "rooms.rename", data)["error"]["code"] == 107


def test_connect_calls(dispatcher):
    def connect(**more):
        event = Event.from_fields(BY_NAME["connect call"] | more)
        return json.loads(dispatcher.handle(event).answer)

    assert connect()["result"]["user"] == "42"
    assert connect(token="bad")["disconnect"] == {"code": 4401, "reason": "bad token"}
    assert connect(token="none")["disconnect"]["code"] == 3507


def test_a_connect_call_without_a_function_is_refused(registry):
    outcome = Dispatcher(registry).handle(Event.from_fields(BY_NAME["connect call"]))
    assert json.loads(outcome.answer)["error"]["code"] == 103


def message(**more):
    return Event.from_fields(BY_NAME["message through a channel"] | more)


def test_a_channel_class_gets_the_values_of_its_pattern(registry):
    got = []

    class Rooms(Channel):
        pattern = "room:<int:pk>/<slug:part>"

        @on("say")
        @on("cry")
        def say(self, ctx, data, pk, part):
            got.append((ctx.channel, data, pk, part))

    class Loud(Rooms):
        pattern = "loud:<uuid:key>"

        @on("message")
        def anything(self, ctx, data, key):
            got.append((data, key))

    key = uuid.uuid4()
    dispatcher = Dispatcher(registry)
    dispatcher.handle(message(channel="room:7/a-b"))
    dispatcher.handle(message(channel="room:7/a-b", data='{"event": "cry"}'))
    dispatcher.handle(message(channel=f"loud:{key}", data="[1]"))
    dispatcher.handle(message(channel=f"loud:{key}", content="binary", data=b"\0\xff"))
    assert got == [
        ("room:7/a-b", {"text": "hi"}, 7, "a-b"),
        ("room:7/a-b", None, 7, "a-b"),
        ([1], key),
        (b"\0\xff", key),
    ]
    assert Rooms.name(7, part="x") == "room:7/x"
    assert Rooms.match("room:x/y") is None
    with pytest.raises(TypeError, match="takes pk, part"):
        Rooms.name(7)


def test_functions_of_a_listener_come_before_those_of_all(registry):
    got = []

    @on("hello")
    def everywhere(ctx, data):
        got.append("everywhere")

    @on("hello", listener="gps")
    async def gps(ctx, data):
        got.append("gps")

    raw = BY_NAME["raw text"]
    for listener in ("gps", "/ws"):
        Dispatcher(registry).handle(Event.from_fields(raw | {"listener": listener}))
    assert got == ["gps", "everywhere"]


def test_dead_reasons(registry):
    @on("message")
    def fails(ctx, data):
        raise KeyError("x")

    dispatcher = Dispatcher(registry)
    assert "KeyError" in dispatcher.handle(message(channel="", data="1")).dead
    assert "no handler" in dispatcher.handle(message()).dead
    assert "not understood" in dispatcher.handle(message(data="{")).dead
    assert "not understood" in dispatcher.handle(message(data="[" * 100_000)).dead
    assert dispatcher.handle(Event.from_fields(BY_NAME["disconnect notice"])).dead == ""


def test_a_lost_node_is_told_by_a_signal(registry):
    lost = []

    def note(ctx, **_):
        lost.append((ctx.node, ctx.data["name"]))

    node_lost.connect(note)
    try:
        outcome = Dispatcher(registry).handle(Event.from_fields(BY_NAME["lost node"]))
    finally:
        node_lost.disconnect(note)
    assert (outcome.dead, lost) == ("", [("n2", "two")])


def test_a_name_is_taken_once(registry):
    @rpc("a")
    def one(ctx):
        pass

    with pytest.raises(ValueError, match="choose another name"):

        @rpc("a")
        def two(ctx):
            pass

    with pytest.raises(TypeError, match="one thing"):

        class Room(Channel):
            @on("x", listener="y", from_listener="z")
            def x(self, ctx, data):
                pass


def test_codes_are_held_to_their_ranges():
    with pytest.raises(ValueError, match="400 to 1999"):
        ClientError(100, "x")
    with pytest.raises(ValueError, match="4000 to 4999"):
        Refuse(1000)


@pytest.mark.django_db
def test_the_context_fetches_the_user_when_asked(django_assert_num_queries):
    user = User.objects.create_user("ann")
    ctx = Context(message(user=str(user.pk)))
    with django_assert_num_queries(1):
        assert ctx.user == user
        assert ctx.user == user
    assert Context(message(user="dev:7")).user.is_anonymous
    assert Context(message(user="")).user.is_anonymous


def test_the_context_publishes_to_its_channel(jackfield_outbox):
    ctx = Context(message(channel="room:9"))
    ctx.publish({"n": 1})
    ctx.publish(text="x", channel="other")
    assert [(one.channels, one.data) for one in jackfield_outbox] == [
        (["room:9"], {"n": 1}),
        (["other"], "x"),
    ]
