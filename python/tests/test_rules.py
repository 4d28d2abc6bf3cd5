"""What `@on` and `@rpc` say beside the name, and what the dispatcher makes of it."""

import asyncio
import logging
import sys
import types
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import modify_settings

from django_jackfield import Channel, on, rpc
from django_jackfield.dispatch import Dispatcher
from django_jackfield.event import Event
from django_jackfield.logs import EventFilter
from django_jackfield.registry import isolated
from django_jackfield.rules import Allowance, Rate, seconds
from django_jackfield.signals import handler_failed, handler_finished, handler_started
from workers import BY_NAME


@pytest.fixture
def registry():
    with isolated() as empty:
        yield empty


def message(**more):
    return Event.from_fields(BY_NAME["message through a channel"] | more)


def call(**more):
    return Event.from_fields(BY_NAME["rpc call"] | {"deadline": "0"} | more)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (2, 2.0),
        (0.5, 0.5),
        ("2s", 2.0),
        ("500ms", 0.5),
        ("1.5m", 90.0),
        (timedelta(hours=1), 3600.0),
    ],
)
def test_times(said, value):
    assert seconds(said, "timeout") == value


@pytest.mark.parametrize("said", [0, -1, "", "2", "2 weeks", True, timedelta(0)])
def test_what_is_no_time_names_the_remedy(said):
    with pytest.raises(ValueError, match="timeout="):
        seconds(said, "timeout")


def test_rates():
    assert Rate.read("5/s") == Rate(5, 1.0)
    assert Rate.read("100/10m") == Rate(100, 600.0)
    assert Rate.read(Rate(1, 2.0)) == Rate(1, 2.0)
    for wrong in ("5", "0/s", "x/s", "5/0s", "5/w"):
        with pytest.raises(ValueError, match="write a count and a time"):
            Rate.read(wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"retry": -1},
        {"batch": 0},
        {"batch": True},
        {"batch": 2, "once": True},
        {"debounce": "1s", "batch": 2},
        {"backoff": "soon"},
        {"rate": "often"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_where_it_is_written(registry, options):
    with pytest.raises(ValueError, match=r".+"):
        on("x", **options)


def test_an_ordering_that_is_none_is_refused(registry):
    with pytest.raises(ValueError, match="one of connection, channel, user"):

        class Room(Channel):
            ordering = "room"


def test_each_connection_has_an_allowance_of_its_own():
    allowance = Allowance()
    rate = Rate(2, 3600.0)
    said = [allowance.take(rate, ("say", client, "")) for client in "aaabba"]
    assert said == [True, True, False, True, True, False]


def test_a_message_over_its_rate_is_dropped_and_a_call_is_told(registry):
    got = []

    @on("message", rate="1/h")
    def say(ctx, data):
        got.append(data)

    @rpc("rooms.rename", rate="1/h")
    def rename(ctx, data):
        return 1

    dispatcher = Dispatcher(registry)
    assert dispatcher.handle(message(channel="", data="1")).dropped == ""
    assert dispatcher.handle(message(channel="", data="2")).dropped == "too many"
    assert got == [1]
    assert b'"result"' in dispatcher.handle(call()).answer
    assert b'"code":111' in dispatcher.handle(call()).answer.replace(b": ", b":")


@pytest.mark.django_db
@pytest.mark.parametrize("shape", [str, list])
def test_permissions_are_those_of_django(registry, shape):
    may, may_not = User.objects.create_user("ann"), User.objects.create_user("bob")
    permission = Permission.objects.get(codename="add_user")
    may.user_permissions.add(permission)
    wanted = "auth.add_user" if shape is str else ["auth.add_user"]
    got = []

    class Room(Channel):
        pattern = "room:<int:pk>"

        @on("say", permission=wanted)
        def say(self, ctx, data, pk):
            got.append(ctx.user_id)

    @rpc("rooms.rename", permission=wanted)
    def rename(ctx, data):
        return 1

    dispatcher = Dispatcher(registry)
    assert dispatcher.handle(message(user=str(may.pk))).dropped == ""
    refused = dispatcher.handle(message(user=str(may_not.pk)))
    assert (refused.dropped, refused.dead, refused.faulty) == ("denied", "", False)
    assert got == [str(may.pk)]
    assert b'"result"' in dispatcher.handle(call(user=str(may.pk))).answer
    assert b"permission denied" in dispatcher.handle(call(user=str(may_not.pk))).answer


def test_a_function_may_say_who_may(registry):
    @on("message", permission=lambda ctx: ctx.user_id == "42")
    def say(ctx, data):
        pass

    dispatcher = Dispatcher(registry)
    assert dispatcher.handle(message(channel="", data="1", user="42")).dropped == ""
    assert dispatcher.handle(message(channel="", data="1", user="43")).dropped == "denied"


def test_only_messages_of_a_listener(registry):
    class Room(Channel):
        pattern = "room:<int:pk>"

        @on("say", from_listener="gps")
        def say(self, ctx, data, pk):
            pass

    dispatcher = Dispatcher(registry)
    assert dispatcher.handle(message(listener="gps")).dead == ""
    assert "no handler" in dispatcher.handle(message(listener="/ws")).dead


def test_an_async_handler_over_its_timeout_is_ended(registry):
    ended = []

    @on("message", timeout="20ms")
    async def wait(ctx, data):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    outcome = Dispatcher(registry).handle(message(channel="", data="1"))
    assert (ended, outcome.dead, outcome.faulty) == ([True], "TimeoutError: ", True)


class Task:
    """As far as the rule looks at a task of django.tasks."""

    def __init__(self):
        self.enqueued = []

    def enqueue(self, **arguments):
        self.enqueued.append(arguments)


def test_a_task_is_enqueued_with_what_the_handler_returns(registry):
    task = Task()

    class Room(Channel):
        pattern = "room:<int:pk>"

        @on("say", task=task)
        def say(self, ctx, data, pk):
            return {"room": pk, "by": ctx.user_id} if data != {"text": "hi"} else None

        @on("never", task=task)
        def never(self, ctx, data, pk):
            return False

    dispatcher = Dispatcher(registry)
    dispatcher.handle(message(data='{"event": "say", "data": 1}', user="42"))
    dispatcher.handle(message())
    dispatcher.handle(message(data='{"event": "never"}'))
    assert task.enqueued == [{"room": 1, "by": "42"}, {"data": {"text": "hi"}, "pk": 1}]


@pytest.fixture
def inbox(monkeypatch):
    """The inbox as the worker sees it; its own tests show that it keeps what it is told."""
    kept = {}

    def run_once(event_id, function):
        if event_id not in kept:
            kept[event_id] = function()
        return kept[event_id]

    once = types.ModuleType("django_jackfield.inbox.once")
    once.run_once = run_once
    package = types.ModuleType("django_jackfield.inbox")
    package.once = once
    monkeypatch.setitem(sys.modules, "django_jackfield.inbox", package)
    monkeypatch.setitem(sys.modules, "django_jackfield.inbox.once", once)
    return kept


def test_once_goes_through_the_inbox(registry, inbox):
    got = []

    @on("message", once=True)
    def pay(ctx, data):
        got.append(data)

    @rpc("rooms.rename", once=True)
    async def rename(ctx, data):
        got.append("call")
        return {"ok": True}

    dispatcher = Dispatcher(registry)
    for _ in range(2):
        assert dispatcher.handle(message(channel="", data="1")).dead == ""
        assert b'"ok"' in dispatcher.handle(call()).answer
    assert got == [1, "call"]
    assert inbox[call().id] == {"data": {"ok": True}}


def test_signals_tell_of_each_handler(registry):
    told = []

    def hear(sender, signal, ctx, name, **more):
        kind = {handler_started: "started", handler_finished: "finished"}.get(signal, "failed")
        told.append((kind, name, "seconds" in more, repr(more.get("error", ""))))

    @on("good")
    def good(ctx, data):
        pass

    @on("bad")
    def bad(ctx, data):
        raise KeyError("x")

    signals = (handler_started, handler_finished, handler_failed)
    for signal in signals:
        signal.connect(hear)
    try:
        for name in ("good", "bad"):
            Dispatcher(registry).handle(message(channel="", data=f'{{"event": "{name}"}}'))
    finally:
        for signal in signals:
            signal.disconnect(hear)
    assert told == [
        ("started", "good", False, "''"),
        ("finished", "good", True, "''"),
        ("started", "bad", False, "''"),
        ("failed", "bad", True, "KeyError('x')"),
    ]


def test_lines_of_a_log_tell_the_event(registry):
    lines = []

    @on("message")
    async def say(ctx, data):
        record = logging.makeLogRecord({})
        EventFilter().filter(record)
        lines.append((record.event_id, record.client, record.user_id))

    event = message(channel="", data="1")
    Dispatcher(registry).handle(event)
    record = logging.makeLogRecord({})
    assert EventFilter().filter(record)
    assert lines == [(event.id, event.client, event.user)]
    assert (record.event_id, record.channel) == ("", "")


@modify_settings(INSTALLED_APPS={"remove": "django_jackfield.inbox"})
def test_a_task_that_is_none_and_once_without_inbox_are_check_errors(registry):
    from django_jackfield.checks.handlers import check_handlers

    @on("report", task=print)
    def report(ctx, data):
        pass

    @on("pay", once=True)
    def pay(ctx, data):
        pass

    found = {one.id: one for one in check_handlers(None)}
    assert sorted(found) == ["jackfield.E020", "jackfield.E021"]
    assert "no enqueue()" in found["jackfield.E020"].msg
    assert "INSTALLED_APPS" in found["jackfield.E021"].hint
