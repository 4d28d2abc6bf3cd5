"""Code that was written for Channels, with nothing changed but CHANNEL_LAYERS."""

import asyncio
import json

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from django_jackfield.backends import locmem
from django_jackfield.compat import (
    JackfieldChannelLayer,
    agroup_send,
    connection_name,
    group_send,
)

BACKEND = "django_jackfield.compat.JackfieldChannelLayer"
CLIENT = "6b7f3a52-64c3-4f1e-9a51-7f6c8f6c3b51"
SENT = {"event": "chat.message", "data": {"text": "hi"}}
MESSAGE = {"type": "chat.message", "text": "hi"}


@pytest.fixture(autouse=True)
def outbox(settings):
    settings.JACKFIELD = {"default": {"BACKEND": "django_jackfield.backends.locmem.LocMemBackend"}}
    locmem.outbox.clear()
    return locmem.outbox


@pytest.fixture
def layers(settings):
    """The layers as Channels itself makes them."""
    pytest.importorskip("channels")
    from channels.layers import channel_layers

    channel_layers.backends = {}

    def configured(**more):
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": BACKEND, **more}} | {
            "old": {"BACKEND": "channels.layers.InMemoryChannelLayer"}
        }
        channel_layers.backends = {}
        return channel_layers

    yield configured
    channel_layers.backends = {}


def test_the_idiom_of_every_project_publishes(layers, outbox):
    from channels.layers import get_channel_layer

    layers()
    async_to_sync(get_channel_layer().group_send)("chat_7", MESSAGE)
    (command,) = outbox
    assert (command.channels, command.data) == (["chat_7"], SENT)


def test_async_code_publishes_too(layers, outbox):
    layer = layers()["default"]
    asyncio.run(layer.group_send("chat_7", MESSAGE))
    assert [command.data for command in outbox] == [SENT]


@pytest.mark.django_db(transaction=True)
def test_a_group_waits_for_the_commit(layers, outbox):
    layer = layers()["default"]
    with transaction.atomic():
        async_to_sync(layer.group_send)("chat_7", MESSAGE)
        assert outbox == []
    assert len(outbox) == 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        async_to_sync(layer.group_send)("chat_7", MESSAGE)
        raise ZeroDivisionError
    assert len(outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_a_group_need_not_wait(layers, outbox):
    layer = layers(CONFIG={"on_commit": False})["default"]
    with transaction.atomic():
        async_to_sync(layer.group_send)("chat_7", MESSAGE)
        assert len(outbox) == 1


def test_groups_may_stand_in_a_namespace(layers, outbox):
    layer = layers(CONFIG={"prefix": "chat:"})["default"]
    async_to_sync(layer.group_send)("room.7", MESSAGE)
    assert outbox[0].channels == ["chat:room.7"]


def test_the_drop_in_needs_neither_channels_nor_an_event_loop(outbox):
    group_send("chat_7", MESSAGE)
    asyncio.run(agroup_send("chat_8", MESSAGE, prefix="g:"))
    assert [command.channels for command in outbox] == [["chat_7"], ["g:chat_8"]]
    assert all(command.data == SENT for command in outbox)


@pytest.mark.parametrize("message", [{}, {"type": 7}, "text", None, {"text": "hi"}])
def test_a_message_has_a_type(message):
    with pytest.raises(TypeError, match="a text as its type"):
        group_send("chat_7", message)


@pytest.mark.parametrize(
    "name",
    ["chat_7", "a.b-c_D9", "", "room:7", "grüße", "a b", "a" * 99, "a" * 100, None, 7, "a\n"],
)
def test_names_are_those_of_channels(layers, name):
    def verdict(layer):
        try:
            return bool(layer.require_valid_group_name(name))
        except TypeError:
            return TypeError

    found = layers()
    ours, theirs = verdict(found["default"]), verdict(found["old"])
    assert ours is TypeError or theirs is not TypeError
    # Where Channels lets a line feed at the end pass, we do not.
    assert ours == theirs or name == "a\n"
    if ours is TypeError:
        with pytest.raises(TypeError, match="Group name must be"):
            async_to_sync(found["default"].group_send)(name, MESSAGE)


def test_a_connection_joins_and_leaves_a_group(outbox):
    layer = JackfieldChannelLayer(prefix="chat:")
    async_to_sync(layer.group_add)("room.7", connection_name(CLIENT))
    async_to_sync(layer.group_discard)("room.7", connection_name(CLIENT))
    assert [(command.method, command.fields) for command in outbox] == [
        ("subscribe", {"client": CLIENT, "channel": "chat:room.7"}),
        ("unsubscribe", {"client": CLIENT, "channel": "chat:room.7"}),
    ]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("send", ("specific.abc!def", MESSAGE)),
        ("receive", ("specific.abc!def",)),
        ("new_channel", ()),
        ("group_add", ("chat_7", "specific.abc!def")),
        ("group_discard", ("chat_7", "specific.abc!def")),
    ],
)
def test_what_needs_a_consumer_says_what_to_do_instead(method, arguments):
    layer = JackfieldChannelLayer()
    with pytest.raises(NotImplementedError, match=rf"{method}\(\).*Use .* of django_jackfield"):
        async_to_sync(getattr(layer, method))(*arguments)


def test_consumers_may_stay_beside_for_a_while(layers, outbox):
    found = layers(CONFIG={"beside": "old"})
    layer = found["default"]

    async def talk():
        name = await layer.new_channel()
        await layer.group_add("chat_7", name)
        await layer.group_send("chat_7", MESSAGE)
        heard = [await layer.receive(name)]
        await layer.send(name, {"type": "only.you"})
        heard.append(await layer.receive(name))
        await layer.group_discard("chat_7", name)
        return heard

    assert async_to_sync(talk)() == [MESSAGE, {"type": "only.you"}]
    assert [command.data for command in outbox] == [SENT]


@pytest.mark.django_db(transaction=True)
def test_an_unmodified_consumer_goes_on_beside(layers, outbox):
    from channels.generic.websocket import AsyncJsonWebsocketConsumer

    found = layers(CONFIG={"beside": "old"})

    class Chat(AsyncJsonWebsocketConsumer):
        groups = ["chat_7"]

        async def chat_message(self, event):
            await self.send_json(event)

    async def talk():
        visitor = ApplicationCommunicator(Chat.as_asgi(), {"type": "websocket", "path": "/"})
        await visitor.send_input({"type": "websocket.connect"})
        assert (await visitor.receive_output())["type"] == "websocket.accept"
        await found["default"].group_send("chat_7", MESSAGE)
        heard = json.loads((await visitor.receive_output())["text"])
        await visitor.send_input({"type": "websocket.disconnect", "code": 1000})
        await visitor.wait()
        return heard

    assert async_to_sync(talk)() == MESSAGE
    assert [command.data for command in outbox] == [SENT]


def test_options_of_channels_are_taken_and_misspelt_ones_are_not(layers):

    layers(CONFIG={"capacity": 100, "expiry": 10, "channel_capacity": {"http.*": 5}})["default"]
    with pytest.raises(ImproperlyConfigured, match=r"'prefx'. Did you mean 'prefix'\?"):
        layers(CONFIG={"prefx": "chat:"})["default"]
