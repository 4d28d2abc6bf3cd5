"""Uses what the blocks define, so that the lines in their functions run.

Each function is for the blocks of a page that contain a mark; it is given the imported module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

DRIVES: list[tuple[str, str, Callable[[Any], None]]] = []


def use(page: str, mark: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Of blocks of a page that contain `mark`."""

    def add(function: Callable[[Any], None]) -> Callable[[Any], None]:
        DRIVES.append((page, mark, function))
        return function

    return add


def sent(*methods: str) -> list[Any]:
    """The commands of a kind (publications) that were sent since this was asked last."""
    from django_jackfield.backends.locmem import outbox

    found = [one for one in outbox if one.method in (methods or ("publish", "broadcast"))]
    outbox.clear()
    return found


def one(*methods: str) -> Any:
    found = sent(*methods)
    assert len(found) == 1, found
    return found[0]


def user(name: str = "ann", *permissions: str, **more: Any) -> Any:
    """A user who has these permissions, which are made where they are none of a model."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    made = get_user_model().objects.create_user(name, **more)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        kind = ContentType.objects.filter(app_label=app).first()
        found, _ = Permission.objects.get_or_create(
            content_type__app_label=app, codename=codename, defaults={"content_type": kind}
        )
        made.user_permissions.add(found)
    return made


def client(of: Any = None, **more: Any) -> Any:
    from django_jackfield.test import JackfieldClient

    return JackfieldClient(of, **more).connect()


def request(of: Any) -> Any:
    """A request of somebody who is logged in."""
    from django.contrib.sessions.backends.db import SessionStore
    from django.test import RequestFactory

    made = RequestFactory().get("/")
    made.user = of
    made.session = SessionStore()
    made.session["_auth_user_id"] = str(of.pk)
    made.session.save()
    return made


def order(region: str = "north") -> Any:
    from shop.models import Customer, Order, Region

    where, _ = Region.objects.get_or_create(slug=region)
    return Order.objects.create(customer=Customer.objects.create(name="Ann"), region=where)


@use("docs/django-browser.md", 'publish("room:7"')
def _(m: Any) -> None:
    assert one().channels == ["room:7"]


@use("docs/django-browser.md", "def announce")
def _(m: Any) -> None:
    m.announce(order())
    assert "<li>" in one().data["data"]


@use("docs/django-channels.md", "def say(self")
def _(m: Any) -> None:
    ann = client(user())
    ann.subscribe("room:7")
    ann.send("room:7", {"text": "hi"}, event="say")
    (heard,) = ann.received("room:7", "message")
    assert heard.data == {"by": ann.user_id, "text": "hi"}


@use("docs/django-channels.md", "def announce")
def _(m: Any) -> None:
    m.announce(7)
    assert len(sent()) == 2
    ann = client(user())
    ann.subscribe("room:7")
    members, counts, newest = m.look(7)
    assert len(members) == counts["num_clients"] == 1
    assert newest == []


@use("docs/django-channels.md", "ArenaChannel")
def _(m: Any) -> None:
    ann, bob = client(user()), client(user("bob"))
    ann.subscribe("arena:3")
    ann.send("arena:3", {"won": "ann"}, event="finish")
    assert ann.received("arena:3", "over")
    for each in (ann, bob):
        each.subscribe("moves:3")
    bob.publish("moves:3", {"event": "move", "data": 1})
    assert ann.received("moves:3", "move")


@use("docs/django-channels-migration.md", "get_channel_layer")
def _(m: Any) -> None:
    m.told("hi")
    assert one().data == {"event": "chat.message", "data": {"text": "hi"}}


@use("docs/django-channels-migration.md", "import group_send")
def _(m: Any) -> None:
    m.told("hi")
    assert one().data == {"event": "chat.message", "data": {"text": "hi"}}


@use("docs/django-channels-migration.md", "class ChatChannel")
def _(m: Any) -> None:
    ann = client(user())
    ann.subscribe("chat_7")
    ann.send("chat_7", {"text": "hi"}, event="say")
    assert ann.received("chat_7", "chat.message")[0].data["text"] == "hi"


@use("docs/django-models.md", "class OrdersBoard")
def _(m: Any) -> None:
    made = order()
    made.status = "paid"
    made.save()
    made.delete()
    assert [each.data["event"] for each in sent()] == ["created", "updated", "deleted"]


@use("docs/django-models.md", "def ship")
def _(m: Any) -> None:
    made = order()
    sent()
    m.ship([made.pk])
    assert one().data["data"]["status"] == "shipped"


@use("docs/django-outbox.md", "def pay")
def _(m: Any) -> None:
    m.pay(order())
    assert sorted(each.channels for each in sent()) == [["orders"], ["orders:typing"]]


@use("docs/django-outbox.md", "def settle")
def _(m: Any) -> None:
    class Event:
        id = "an-id"

    assert m.settle(Event, {}) == m.settle(Event, {}) == {"ok": True}


@use("docs/django-rights.md", "class News")
def _(m: Any) -> None:
    from chat.models import Room

    from django_jackfield.test import SubscribeDenied

    ann, bob = user("ann", "chat.view_board"), user("bob")
    room = Room.objects.create()
    room.members.add(ann)
    client().subscribe("news:site")
    for name in ("board:7", f"room:{room.pk}"):
        client(ann).subscribe(name)
        try:
            client(bob).subscribe(name)
        except SubscribeDenied:
            continue
        raise AssertionError(f"bob is in {name}")


@use("docs/django-rights.md", "def get_object")
def _(m: Any) -> None:
    from django.contrib.auth.models import Group

    from django_jackfield.test import SubscribeDenied

    group = Group.objects.create(name="staff")
    ann = client(user("ann", is_superuser=True))
    ann.subscribe(f"group:{group.pk}")
    try:
        ann.subscribe("group:999")
    except SubscribeDenied:
        return
    raise AssertionError("a group that is not there lets in")


@use("docs/django-rights.md", "def tokens")
def _(m: Any) -> None:
    made = m.tokens(request(user()))
    assert made["connection"].count(".") == made["board"].count(".") == 2


@use("docs/django-rights.md", "def lock")
def _(m: Any) -> None:
    from chat.models import Room
    from django.contrib.auth import get_user_model

    ann = user()
    room = Room.objects.create()
    room.members.add(ann)
    m.leave(room, ann)
    sent()
    m.lock(get_user_model().objects.all())
    assert sent("disconnect")


@use("docs/django-worker.md", "class DeviceChannel")
def _(m: Any) -> None:
    ann = client(user("ann", "fleet.add_alarm", "fleet.change_device"), channels=["device:7"])
    for event in ("position", "alarm", "settings"):
        ann.send("device:7", {"n": 1}, event=event)
    assert ann.call("devices.rename", pk=7, title="x") == {"pk": 7, "title": "x"}


@use("docs/django-worker.md", "def tell")
def _(m: Any) -> None:
    class Context:
        user_id = "42"

    m.handler_failed.send(None, ctx=Context, name="say", error=ValueError(), seconds=0.1)


@use("docs/django-admin.md", "import channels, connections, nodes")
def _(m: Any) -> None:
    assert m.connections(user=42) == []


@use("python/README.md", "def thrown_out")
def _(m: Any) -> None:
    asked = request(user())
    m.told(asked)
    assert len(sent()) == 3
    m.told(asked)
    assert sent("send_to_user", "send")
    m.thrown_out(asked)
    assert sent("disconnect")


@use("python/README.md", "True, False, or a Subscription")
def _(m: Any) -> None:
    from chat.models import Room

    ann = user()
    room = Room.objects.create()
    room.members.add(ann)
    client(ann).subscribe(f"room:{room.pk}")


@use("python/README.md", "def rename")
def _(m: Any) -> None:
    from chat.models import Room

    ann = user("ann", "chat.change_room")
    room = Room.objects.create()
    room.members.add(ann)
    page = client(ann)
    page.subscribe(f"room:{room.pk}")
    page.send(f"room:{room.pk}", {"text": "hi"}, event="say")
    assert page.received(f"room:{room.pk}", "message")
    assert page.call("rooms.rename", pk=room.pk, title="x") == {"ok": True}
    page.send(None, 1, event="hello")


@use("python/README.md", "def enter")
def _(m: Any) -> None:
    page = client(None, data={"device": "7"})
    assert page.user_id == "7"

    class Context:
        user = user()

    assert m.stays(Context) is True


@use("python/README.md", "def look")
def _(m: Any) -> None:
    from chat.models import Room

    ann = user()
    Room.objects.create(pk=7).members.add(ann)
    page = client(ann)
    page.subscribe("room:7")
    page.answers_with("position", lambda data: {"x": 1})
    here, answer = m.look(page.id)
    assert len(here[0]) == 1
    assert answer == {"x": 1}


@use("docs/django-admin.md", "class MyUserAdmin")
def _(m: Any) -> None:
    from django.contrib import admin
    from django.contrib.auth import get_user_model

    assert isinstance(admin.site._registry[get_user_model()], m.MyUserAdmin)


@use("docs/django-testing.md", "class News")
def _(m: Any) -> None:
    ann = client(user())
    for name in ("news", "room:7"):
        ann.subscribe(name)
    ann.send("room:7", 1, event="say")
    assert ann.received("room:7", "message")


@use("docs/django.md", "def close")
def _(m: Any) -> None:
    m.close(request(user()), 7)
    assert one().channels == ["room:7"]


@use("docs/django.md", "class RoomChannel")
def _(m: Any) -> None:
    from chat.models import Room

    ann = user()
    room = Room.objects.create()
    room.members.add(ann)
    page = client(ann)
    page.subscribe(f"room:{room.pk}")
    if hasattr(m.RoomChannel, "say"):
        page.send(f"room:{room.pk}", {"text": "hi"}, event="say")
        assert page.received(f"room:{room.pk}", "message")


@use("docs/django-documents.md", "class NoteChannel")
def _(m: Any) -> None:
    from notes.models import Note

    from django_jackfield.test import load_document, save_document

    ann, bob = user(), user("bob")
    note = Note.objects.create(owner=ann)
    note.readers.add(bob)
    name = m.NoteChannel.name(note.pk)
    for of, writes in ((ann, True), (bob, False)):
        page = client(of)
        page.subscribe(name)
        assert page.may_write(name) is writes
    save_document(name, b"one")
    save_document(name, b"all", replaces=load_document(name).upto)
    assert [bytes(update) for update in load_document(name).updates] == [b"all"]


@use("docs/django-documents.md", "def lock_out")
def _(m: Any) -> None:
    from notes.models import Note

    bob = user("bob")
    note = Note.objects.create(owner=user())
    note.readers.add(bob)
    m.lock_out(note, bob)
    assert not note.readers.exists()
