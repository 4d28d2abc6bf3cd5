"""Who may come in, publish and stay: what handlers of calls return, and what the server is told."""

import json

import pytest
from django.core.exceptions import PermissionDenied

from django_jackfield import (
    Cached,
    Channel,
    ClientError,
    Principal,
    Refuse,
    Renewal,
    Rewrite,
    Subscription,
    connecting,
    refreshing,
    rpc,
)
from django_jackfield.dispatch import Dispatcher
from django_jackfield.event import Event
from django_jackfield.registry import isolated
from workers import BY_NAME

DENIED = {"error": {"code": 103, "message": "permission denied", "temporary": False}}
BROKEN = {"error": {"code": 100, "message": "internal server error", "temporary": True}}


@pytest.fixture(autouse=True)
def registry():
    with isolated() as empty:
        yield empty


@pytest.fixture
def ask(registry):
    def answer(name, **more):
        fields = BY_NAME[name] | more
        said = json.loads(Dispatcher(registry).handle(Event.from_fields(fields)).answer)
        assert said.pop("v") == 1
        assert said.pop("id") == fields["id"]
        return said

    return answer


def room(**methods):
    return type("Room", (Channel,), {"pattern": "room:<int:pk>"} | methods)


def test_nobody_comes_in_unless_something_says_so(ask):
    for name in ("subscribe call", "publish call"):
        assert ask(name) == DENIED
    assert ask("sub_refresh call") == {"result": {"expired": True}}
    assert ask("refresh call") == {"result": {"expired": True}}
    room()
    for name in ("subscribe call", "publish call"):
        assert ask(name) == DENIED
    assert ask("sub_refresh call") == {"result": {"expired": True}}
    assert ask("subscribe call", channel="other:7") == DENIED


FULL = Subscription(
    info={"role": "host"},
    data=[1],
    expire_at=1_800_000_000,
    override={"presence": False, "force_recovery": True},
    cache_for=60,
)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (True, {"result": {}}),
        (False, DENIED),
        (None, DENIED),
        (Subscription(), {"result": {}}),
        (
            FULL,
            {
                "result": {
                    "info": {"role": "host"},
                    "data": [1],
                    "expire_at": 1_800_000_000,
                    "override": {"presence": {"value": False}, "force_recovery": {"value": True}},
                    "cache_for": 60,
                }
            },
        ),
        ("yes", BROKEN),
        (1, BROKEN),
    ],
)
def test_can_subscribe(ask, said, answer):
    room(can_subscribe=lambda self, user, pk: said)
    assert ask("subscribe call") == answer


def test_a_channel_knows_what_was_asked(ask):
    got = []

    def can_subscribe(self, user, pk):
        got.append((self.ctx.user_id, self.ctx.data, self.ctx.token, self.ctx.meta, pk))
        return True

    room(can_subscribe=can_subscribe)
    assert ask("subscribe call") == {"result": {}}
    assert got == [("42", {"invite": "x"}, "opaque", {"plan": "pro"}, 7)]


@pytest.mark.django_db
def test_the_user_is_fetched_where_a_rule_looks_at_it(ask, django_assert_num_queries):
    room(can_subscribe=lambda self, user, pk: True)
    with django_assert_num_queries(0):
        ask("subscribe call")
    room(can_publish=lambda self, user, pk: user.is_authenticated)

    class Hall(Channel):
        pattern = "hall:<int:pk>"

        async def can_subscribe(self, user, pk):
            return user.is_anonymous

    with django_assert_num_queries(1):
        assert ask("subscribe call", channel="hall:1") == {"result": {}}


@pytest.mark.parametrize(
    ("raised", "answer"),
    [
        (PermissionDenied(), DENIED),
        (Refuse(4403, "banned"), {"disconnect": {"code": 4403, "reason": "banned"}}),
        (
            ClientError(404, "no such room", cache_for=5),
            {
                "error": {
                    "code": 404,
                    "message": "no such room",
                    "temporary": False,
                    "cache_for": 5,
                }
            },
        ),
        (KeyError("x"), BROKEN),
    ],
)
def test_what_is_raised_is_told(ask, raised, answer):
    def can(self, user, pk):
        raise raised

    room(can_subscribe=can, can_publish=can)
    assert ask("subscribe call") == answer
    answer.get("error", {}).pop("cache_for", None)
    assert ask("publish call") == answer, "a publish is never remembered"


def test_can_publish(ask):
    says = {"hi": True, "ho": Rewrite(data={"text": "HO"}, tags={"lang": "en"}, version=0)}
    room(can_publish=lambda self, user, pk: says.get(self.ctx.data["text"]))
    assert ask("publish call") == {"result": {}}
    assert ask("publish call", data='{"text": "ho"}') == {
        "result": {"data": {"text": "HO"}, "tags": {"lang": "en"}, "version": 0}
    }
    assert ask("publish call", data='{"text": "other"}') == DENIED


STAYING = [
    (True, {"result": {}}),
    (False, {"result": {"expired": True}}),
    (None, {"result": {"expired": True}}),
    (1_800_000_000, {"result": {"expire_at": 1_800_000_000}}),
    (Renewal(expire_at=5, info={"a": 1}), {"result": {"expire_at": 5, "info": {"a": 1}}}),
    ("yes", BROKEN),
]


@pytest.mark.parametrize(("said", "answer"), STAYING)
def test_can_stay(ask, said, answer):
    room(can_stay=lambda self, user, pk: said)
    assert ask("sub_refresh call") == answer


def test_who_may_come_in_may_stay(ask):
    room(can_subscribe=lambda self, user, pk: FULL)
    assert ask("sub_refresh call") == {
        "result": {"info": {"role": "host"}, "expire_at": 1_800_000_000}
    }


@pytest.mark.parametrize(("said", "answer"), STAYING)
def test_refreshing(ask, said, answer):
    @refreshing
    def stays(ctx):
        return said

    @refreshing(listener="gps")
    def never(ctx):
        raise PermissionDenied

    assert ask("refresh call") == answer
    assert ask("refresh call", listener="gps") == {"result": {"expired": True}}


@pytest.mark.parametrize(
    ("subs", "result"),
    [
        (["news", "room:1"], {"channels": ["news", "room:1"]}),
        ({"news": Subscription(data=1)}, {"subs": {"news": {"data": 1}}}),
    ],
)
def test_a_principal_is_in_channels_from_the_start(ask, subs, result):
    seen = []

    @connecting
    def enter(ctx, data):
        seen.append(ctx.channels)
        return Principal(user="42", subs=subs)

    assert ask("connect call with channels") == {"result": {"user": "42"} | result}
    assert seen == [("news", "a,b")]


@pytest.mark.parametrize("subs", ["news", {"news": 1}, {"news": Subscription(cache_for=1)}])
def test_subs_that_are_none(ask, subs):
    @connecting
    def enter(ctx, data):
        return Principal(subs=subs)

    assert ask("connect call") == BROKEN


def test_an_rpc_may_be_remembered(ask):
    @rpc("rooms.rename")
    def rename(ctx, pk):
        return Cached({"pk": pk}, 30)

    assert ask("rpc call") == {"result": {"data": {"pk": 7}, "cache_for": 30}}


def test_unknown_switches_are_named():
    with pytest.raises(ValueError, match="override of presense: it may hold force_positioning"):
        Subscription(override={"presense": True})
