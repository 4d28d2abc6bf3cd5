"""Class methods of channels, the checks of what is declared, and a realtime.py that is broken."""

import sys

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission, User
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

import django_jackfield.registry as registry_module
from django_jackfield import (
    Channel,
    DiscoveryError,
    History,
    ModelChannel,
    connected,
    connecting,
    on,
    refreshing,
)
from django_jackfield.checks.channels import check_declarations
from django_jackfield.checks.models import check_models
from django_jackfield.registry import discover, discovered_quietly, isolated


@pytest.fixture
def registry():
    with isolated() as empty:
        yield empty


def declare(pattern, name="Room", base=Channel, **attributes):
    return type(name, (base,), {"pattern": pattern} | attributes)


def ids(messages):
    return [message.id.removeprefix("jackfield.") for message in messages]


def test_a_publication_of_a_class_has_a_name(registry, jackfield_outbox):
    Room = declare("room:<int:pk>")
    Room.publish(7, data={"text": "hi"})
    Room.publish(pk=8, event="said", data=1, key="k", skip_history=True)
    Room().publish(9, event="said")
    async_to_sync(Room.apublish)(10, data=2)
    Room.publish(11, data=b"\x00\xff")
    assert [(one.channels, one.data) for one in jackfield_outbox] == [
        (["room:7"], {"event": "message", "data": {"text": "hi"}}),
        (["room:8"], {"event": "said", "data": 1}),
        (["room:9"], {"event": "said", "data": None}),
        (["room:10"], {"event": "message", "data": 2}),
        (["room:11"], b"\x00\xff"),
    ]
    assert jackfield_outbox[1].fields["key"] == "k"
    assert jackfield_outbox[1].fields["skip_history"] is True


def test_bytes_have_no_room_for_a_name(registry):
    with pytest.raises(TypeError, match="bytes are published without a name"):
        declare("room:<int:pk>").publish(7, data=b"x", event="said")


def test_a_value_of_the_pattern_goes_before_an_option_of_publish(registry, jackfield_outbox):
    declare("item:<slug:key>", "Item").publish(key="a", data=1)
    assert jackfield_outbox[0].channels == ["item:a"]
    assert "key" not in jackfield_outbox[0].fields


@pytest.mark.parametrize("wrong", [((), {}), ((1, 2), {}), ((), {"id": 1}), ((1,), {"other": 2})])
def test_wrong_values_are_refused(registry, wrong):
    args, kwargs = wrong
    with pytest.raises(TypeError):
        declare("room:<int:pk>").publish(*args, **kwargs)


def test_members_counts_and_recent_ask_about_the_channel(registry, monkeypatch):
    asked = []

    class Broker:
        def ask(self, question, timeout):
            asked.append((question.method, question.fields, timeout))
            return {"presence": {"c": {"user": "1"}}, "num_clients": 2}

    monkeypatch.setattr("django_jackfield.ask.brokers", {"default": Broker(), "other": Broker()})
    Room = declare("room:<int:pk>", via="other", presence=True)
    assert Room.members(7, timeout=3.0) == {"c": {"user": "1"}}
    assert async_to_sync(Room.amembers)(pk=7) == {"c": {"user": "1"}}
    Room.counts(7)
    async_to_sync(Room.acounts)(7)
    Room.recent(7, limit=2)
    async_to_sync(Room.arecent)(pk=7, since={"offset": 1, "epoch": "e"})
    there = {"channel": "room:7"}
    assert asked == [
        ("presence", there, 3.0),
        ("presence", there, None),
        ("presence_stats", there, None),
        ("presence_stats", there, None),
        ("history", there | {"limit": 2, "reverse": True}, None),
        ("history", there | {"limit": -1, "since": {"offset": 1, "epoch": "e"}}, None),
    ]


def test_the_project_of_the_tests_is_in_order():
    assert check_declarations(None) == []
    assert check_models(None) == []


def test_overlapping_patterns_are_told_with_a_name_that_both_take(registry):
    declare("room:<int:pk>", "One")
    declare("room:<slug:name>", "Other")
    declare("/rooms/<int:pk>", "Third")
    declare("/rooms/<slug:name>", "Fourth")
    declare("hall:<slug:name>", "Fifth")
    found = check_declarations(None)
    assert ids(found) == ["E011", "E011"]
    assert "One ('room:<int:pk>') and test_channels.Other" in found[0].msg
    assert "both take the channel 'room:0'" in found[0].msg
    assert "'/rooms/0'" in found[1].msg


class Wrong:
    """Methods that do not fit the pattern `room:<int:pk>`."""

    @on("say")
    def say(self, ctx, data): ...

    @on("shout")
    def shout(self, ctx, data, pk, *, loud): ...

    def can_subscribe(self, user, id):
        return True

    def can_publish(self, user, **params):
        return True

    def on_leave(self): ...


def test_handlers_and_hooks_must_take_the_values_of_the_pattern(registry):
    type("Room", (Wrong, Channel), {"pattern": "room:<int:pk>"})
    found = [message for message in check_declarations(None) if message.id != "jackfield.W010"]
    assert ids(found) == ["E012"] * 4
    said = "\n".join(message.msg for message in found)
    assert "Room.say handles 'say' with (self, ctx, data, pk), but its signature is" in said
    assert "Room.shout handles 'shout'" in said
    assert "Room.can_subscribe is asked with (self, user, pk)" in said
    assert "Room.on_leave is asked with (self, ctx, pk)" in said
    assert "can_publish" not in said


def test_functions_must_take_what_they_are_called_with(registry):
    on("hello")(lambda ctx: None)
    connecting(lambda ctx: None)
    connected(lambda: None)
    refreshing(lambda ctx, data: None)
    assert ids(check_declarations(None)) == ["E012"] * 4


def test_options_that_contradict_or_do_not_exist(registry):
    declare("room:<int:pk>", "One", presence=True)
    declare("room:<int:pk>:log", "Log")
    declare("hall:<int:pk>", "Hall", options={"presense": True}, history=3)
    found = check_declarations(None)
    assert sorted(ids(found)) == ["E015", "E016", "E016"]
    told = {message.id: message for message in found}["jackfield.E015"]
    assert "test_channels.One and test_channels.Log are both in the namespace 'room'" in told.msg
    assert "before the first ':'" in told.hint


@pytest.mark.parametrize(
    "attributes", [{"relay": ["move"]}, {"can_publish": lambda self, user, pk: True}]
)
def test_handlers_that_get_nothing_are_told(registry, attributes):
    class Handled:
        @on("finish")
        def finish(self, ctx, data, pk): ...

    type("Room", (Handled, Channel), {"pattern": "room:<int:pk>"} | attributes)
    declare("hall:<int:pk>", "Hall", **attributes)
    type("Plain", (Handled, Channel), {"pattern": "plain:<int:pk>"})
    (found,) = check_declarations(None)
    assert found.id == "jackfield.W010"
    assert "test_channels.Room: " in found.msg
    assert "the handlers of 'finish' get nothing" in found.msg


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"model": User}, "fields is not given"),
        ({"model": User, "fields": "username"}, "fields is not given as a list"),
        ({"model": User, "fields": ["username", "password"]}, "'password', which every"),
        ({"model": "auth.User", "fields": ["reset_token"]}, "'reset_token'"),
        ({"model": User, "fields": ["nickname"]}, "User has no 'nickname'"),
        ({"model": User, "fields": ["groups"]}, "User has no 'groups'"),
        ({"model": Permission, "fields": ["content_type__nothing"]}, "content_type__nothing"),
        ({"model": User, "fields": ["username"], "events": ["saved"]}, "events: ['saved']"),
        ({"model": "auth.Nobody", "fields": ["x"]}, "Nobody"),
        ({"fields": ["x"]}, "model is not given"),
    ],
)
def test_what_a_model_channel_tells_is_checked(registry, attributes, says):
    declare("user:<int:pk>", base=ModelChannel, **attributes)
    found = check_models(None)
    assert ids(found) == ["E013"]
    assert says in found[0].msg
    assert found[0].hint


@pytest.mark.parametrize(
    "attributes",
    [
        {"model": Group, "fields": ["id", "name"]},
        {"model": "auth.Permission", "fields": ["content_type__app_label", "content_type_id"]},
        {"model": User, "fields": ["username", "get_full_name"]},
        {"model": User, "serialise": lambda self, obj, event: {}},
    ],
)
def test_a_good_model_channel_passes(registry, attributes):
    declare("thing:<int:pk>", base=ModelChannel, **attributes)
    assert check_models(None) == []


@pytest.fixture
def broken_app(tmp_path, settings, monkeypatch):
    """An app whose realtime.py declares a channel and then breaks."""
    app = tmp_path / "broken_app"
    app.mkdir()
    (app / "__init__.py").write_text("")
    (app / "realtime.py").write_text(
        "from django_jackfield import Channel\n"
        "class Half(Channel):\n"
        "    pattern = 'half:<int:pk>'\n"
        "nothing_of_this_name()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with isolated():
        monkeypatch.setattr(registry_module, "_discovered", False)
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "broken_app"]
        yield
    for name in [name for name in sys.modules if name.startswith("broken_app")]:
        del sys.modules[name]


def test_a_broken_realtime_is_a_check_error_and_no_storm(broken_app, caplog):
    for _ in range(2):
        (found,) = check_declarations(None)
        assert found.id == "jackfield.E014"
        assert "realtime.py, line 4: NameError" in found.msg
        assert "'nothing_of_this_name' is not defined" in found.msg
    assert check_models(None) == []
    # It is not imported again, so that what it did declare is there once.
    with pytest.raises(DiscoveryError, match="line 4"):
        discover()
    assert [one.__name__ for one in registry_module.registry.channels] == ["Half"]
    with pytest.raises(CommandError, match="line 4: NameError"):
        call_command("jackfield", "config")


def test_a_broken_realtime_is_said_once_by_all_checks(broken_app):
    found = [one for one in run_checks(tags=["jackfield"]) if "realtime" in one.msg or one.obj]
    # Half, which it declared before it broke and which says nothing of access, is not blamed too.
    assert [one.id for one in found] == ["jackfield.E014"]


@pytest.mark.parametrize(
    ("rooms", "said"),
    [
        ("limit = 1\nclass Room:\n    size = lmit\n", "rooms.py, line 3: NameError: name 'lmit'"),
        ("limit = 1\nlimit limit\n", "rooms.py, line 2: SyntaxError: invalid syntax"),
        ("raise ValueError('first\\nsecond')\n", "rooms.py, line 1: ValueError: first."),
        ("raise ValueError\n", "rooms.py, line 1: ValueError."),
        ("def size():\n    return lmit\n", "realtime.py, line 5: NameError: name 'lmit'"),
    ],
)
def test_what_a_realtime_imports_is_named_with_its_line(broken_app, tmp_path, rooms, said):
    """Where the file breaks in a call, the line of the call is what its author looks for."""
    (tmp_path / "broken_app" / "rooms.py").write_text(rooms)
    file = tmp_path / "broken_app" / "realtime.py"
    lines = file.read_text().replace("nothing_of_this_name()", "from broken_app import rooms")
    file.write_text(f"{lines}size = rooms.size()\n")
    (found,) = check_declarations(None)
    assert f"{said}" in f"{found.msg}."
    if said.startswith("rooms"):
        assert "realtime.py, line 4, which imports " in found.msg


@pytest.mark.django_db
def test_a_broken_realtime_breaks_no_request_and_is_told_once(broken_app, caplog):
    for name in "ab":
        Group.objects.create(name=name)
    told = [record for record in caplog.records if "realtime.py, line 4" in record.message]
    assert len(told) == 1
    assert discovered_quietly() is registry_module.registry


def test_the_class_attributes_are_options_and_not_methods(registry):
    class Room(Channel):
        pattern = "room:<int:pk>"
        history = History(size=1, ttl=1)
        presence = True

    class Quiet(Room):
        pattern = "quiet:<int:pk>"
        presence = False

    assert Room.declared == {"history": Room.history, "presence": True}
    assert Quiet.declared == {"history": Room.history, "presence": False}
