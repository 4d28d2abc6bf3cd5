"""What becomes of logouts, sessions, users, groups and permissions: the commands that are sent."""

import asyncio
import base64
import json

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore as PlainStore
from django.db import transaction

from django_jackfield import (
    Channel,
    Connection,
    aconnections,
    ais_online,
    aonline_users,
    apresence_count,
    arecheck,
    asubscribe,
    aunsubscribe,
    connections,
    disconnect,
    is_online,
    online_users,
    presence_count,
    recheck,
    subscribe,
    unsubscribe,
)
from django_jackfield.backends.locmem import LocMemBackend
from django_jackfield.orders import NOBODY
from django_jackfield.rechecks import ASK_AGAIN, LOST
from django_jackfield.registry import isolated

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sent(jackfield_outbox):
    return jackfield_outbox


@pytest.fixture(autouse=True)
def registry():
    with isolated() as empty:
        yield empty


@pytest.fixture
def there(monkeypatch):
    """The connections of the cluster: id to user and channels."""
    found = {}

    def ask(self, command, timeout):
        assert command.method in ("connections", "presence_stats")
        if command.method == "presence_stats":
            return b'{"result":{"num_clients":3,"num_users":2}}'
        wanted = command.fields
        return json.dumps(
            {
                "result": {
                    "connections": {
                        client: {
                            "user": user,
                            "transport": "websocket",
                            "protocol": "json",
                            "listener": "",
                            "remote": "127.0.0.1",
                            "state": {"channels": {name: {} for name in channels}},
                        }
                        for client, (user, channels) in found.items()
                        if wanted.get("user", user) == user
                        and wanted.get("client", client) == client
                    }
                }
            }
        )

    monkeypatch.setattr(LocMemBackend, "_ask", ask)
    return found


@pytest.fixture
def ann():
    return User.objects.create_user("ann", password="old")


def methods(sent):
    return [one.method for one in sent]


def opened(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def lost(sent):
    """Who was taken out of what, with which code."""
    return [
        (one.fields.get("user", one.fields.get("client")), one.channels[0], one.fields["code"])
        for one in sent
        if one.method == "unsubscribe"
    ]


# Sessions.


def revoked(sent):
    return [one.fields["uid"] for one in sent if one.method == "revoke_token"]


def test_a_logout_ends_the_sockets_of_its_session(client, ann, sent):
    client.force_login(ann)
    name = client.session["_jackfield_sid"]
    client.logout()
    assert revoked(sent) == [name]
    assert "renew" not in sent[0].fields


def test_a_page_of_visitors_goes_on_as_one(client, ann, sent, settings):
    settings.JACKFIELD = {"default": settings.JACKFIELD["default"] | {"ANONYMOUS": True}}
    client.force_login(ann)
    client.logout()
    assert sent[0].fields["renew"] is True


def test_a_visitor_s_sockets_come_back_as_the_user_s(client, ann, sent, settings):
    settings.JACKFIELD = {"default": settings.JACKFIELD["default"] | {"ANONYMOUS": True}}
    assert "jti" not in opened(client.get("/jackfield/token/").json()["token"])
    session = client.session
    session["basket"] = 1
    session.save()
    visitor = opened(client.get("/jackfield/token/").json()["token"])
    assert visitor["sub"] == ""
    client.force_login(ann)
    assert revoked(sent) == [visitor["jti"]]
    assert sent[0].fields["renew"] is True
    user = opened(client.get("/jackfield/token/").json()["token"])
    assert user["sub"] == str(ann.pk)
    assert user["jti"] == client.session["_jackfield_sid"] != visitor["jti"]
    client.force_login(ann)
    assert client.session["_jackfield_sid"] == user["jti"]
    assert len(sent) == 1


ENGINES = ["db", "cache", "cached_db", "file"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_that_is_deleted_elsewhere(client, ann, sent, settings, engine, tmp_path):
    settings.SESSION_ENGINE = f"django_jackfield.sessions.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    client.force_login(ann)
    name = client.session["_jackfield_sid"]
    assert revoked(sent) == []
    store = __import__(settings.SESSION_ENGINE, fromlist=["SessionStore"]).SessionStore
    store().delete(client.session.session_key)
    assert revoked(sent) == [name]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_name_survives_a_new_key_and_dies_with_a_flush(sent, settings, engine, tmp_path):
    settings.SESSION_FILE_PATH = str(tmp_path)
    store = __import__(f"django_jackfield.sessions.{engine}", fromlist=["x"]).SessionStore
    session = store()
    session["_jackfield_sid"] = "one"
    session.save()
    before = session.session_key
    session.cycle_key()
    session.save()
    assert session.session_key != before
    assert store(session.session_key)["_jackfield_sid"] == "one"
    assert revoked(sent) == []
    session.flush()
    assert revoked(sent) == ["one"]
    assert "_jackfield_sid" not in session


def test_async_sessions(sent):
    from django_jackfield.sessions.db import SessionStore

    async def one():
        session = SessionStore()
        await session.aset("_jackfield_sid", "two")
        await session.asave()
        await session.acycle_key()
        await session.asave()
        assert revoked(sent) == []
        await session.aflush()

    asyncio.run(one())
    assert revoked(sent) == ["two"]


def test_a_logout_tells_once(client, ann, sent, settings):
    settings.SESSION_ENGINE = "django_jackfield.sessions.db"
    client.force_login(ann)
    name = client.session["_jackfield_sid"]
    client.logout()
    assert revoked(sent) == [name]


def test_a_session_without_tokens_has_nothing_to_end(sent):
    session = PlainStore()
    session.save()
    disconnect(session=session)
    assert sent == []
    session["_jackfield_sid"] = "three"
    disconnect(session=session, reconnect=True)
    disconnect(session="four")
    assert revoked(sent) == ["three", "four"]
    assert [one.fields.get("renew") for one in sent] == [True, None]


# Users.


def ended(sent):
    """Of whom the sockets were ended and the tokens voided, and why."""
    assert methods(sent) == ["disconnect", "invalidate_user_tokens"] * (len(sent) // 2)
    assert {one.key for one in sent[::2]} == {one.key for one in sent[1::2]}
    return [(one.fields["user"], one.fields["code"], one.fields["reason"]) for one in sent[::2]]


def test_who_is_deactivated_is_out(ann, sent):
    ann.is_active = False
    ann.save()
    assert ended(sent) == [(str(ann.pk), 4001, "user deactivated")]
    mark = sent[1].fields
    assert mark["renew"] is True
    assert mark["expire_at"] * 1000 >= mark["issued_before_ms"] + 3599_000
    sent.clear()
    ann.save()
    ann.is_active = True
    ann.save()
    assert sent == []


def test_a_new_password_ends_the_sockets(ann, sent):
    ann.set_password("new")
    assert sent == []
    ann.save()
    assert ended(sent) == [(str(ann.pk), 4001, "password changed")]


def test_who_is_deleted_is_out(ann, sent):
    key = ann.pk
    ann.delete()
    assert ended(sent) == [(str(key), 4001, "user deleted")]


def test_other_saves_cost_nothing(ann, sent, django_assert_num_queries):
    with django_assert_num_queries(1):
        ann.save(update_fields=["last_login"])
    ann.first_name = "Ann"
    ann.save()
    User.objects.create_user("bob", password="x")
    assert sent == []


def test_nothing_is_told_before_the_commit(ann, sent):
    with transaction.atomic():
        ann.set_password("new")
        ann.save()
        assert sent == []
    assert len(sent) == 2
    sent.clear()
    with pytest.raises(RuntimeError), transaction.atomic():
        ann.delete()
        raise RuntimeError
    assert sent == []


def test_a_broken_queue_breaks_no_save(ann, monkeypatch, client, settings):
    # A breaker of its own: it stays open for the tests after this one.
    settings.JACKFIELD = {"default": settings.JACKFIELD["default"] | {"PREFIX": "broken"}}

    def broken(self, commands):
        raise OSError("away")

    monkeypatch.setattr(LocMemBackend, "_send", broken)
    monkeypatch.setattr(LocMemBackend, "_ask", broken)
    monkeypatch.setattr(LocMemBackend, "failures", (OSError,))
    client.force_login(ann)
    client.logout()
    ann.groups.add(Group.objects.create(name="editors"))
    ann.set_password("new")
    ann.save()
    ann.delete()


# Disconnect.


def test_disconnect(sent, there):
    disconnect(user=7)
    assert methods(sent) == ["disconnect", "invalidate_user_tokens"]
    assert sent[0].fields == {"user": "7"}
    disconnect(user=7, reconnect=True, reason="come again", remember=10)
    assert sent[2].fields == {"user": "7", "code": 4000, "reason": "come again"}
    sent.clear()
    disconnect(connection="c-1", code=4501)
    disconnect(7, "c-2")
    assert [one.fields for one in sent] == [
        {"client": "c-1", "code": 4501},
        {"user": "7", "client": "c-2"},
    ]
    sent.clear()
    there |= {"a": ("1", ["room:7"]), "b": ("", ["room:7", "x"]), "c": ("2", ["x"])}
    disconnect(channel="room:7", code=4002)
    assert [one.fields for one in sent] == [
        {"client": "a", "code": 4002},
        {"client": "b", "code": 4002},
    ]
    for wrong in ({}, {"user": 1, "session": "s"}, {"channel": "a", "connection": "b"}):
        with pytest.raises(TypeError, match="disconnect: name a user"):
            disconnect(**wrong)
    with pytest.raises(ValueError, match="close code"):
        disconnect(user=1, code=1000)


def test_in_and_out_of_channels(sent):
    subscribe(7, "room:7")
    unsubscribe(User(pk=7), "room:7", code=2500, reason="moved")
    unsubscribe(None, "room:7", client="c-1")

    async def twins():
        await asubscribe(8, "room:7")
        await aunsubscribe(8, "room:7")

    asyncio.run(twins())
    assert [(one.method, one.fields) for one in sent] == [
        ("subscribe", {"user": "7", "channel": "room:7"}),
        ("unsubscribe", {"user": "7", "channel": "room:7", "code": 2500, "reason": "moved"}),
        ("unsubscribe", {"client": "c-1", "channel": "room:7", "code": 2000}),
        ("subscribe", {"user": "8", "channel": "room:7"}),
        ("unsubscribe", {"user": "8", "channel": "room:7", "code": 2000}),
    ]
    with pytest.raises(TypeError):
        unsubscribe(None, "room:7")
    with pytest.raises(ValueError, match="2000 to 2499"):
        unsubscribe(7, "room:7", code=4000)


# Who is there.


def test_who_is_there(there):
    there |= {"a": ("1", ["room:7"]), "b": ("1", []), "c": ("", ["room:7"])}
    assert connections(client="a") == [
        Connection(
            id="a",
            user_id="1",
            transport="websocket",
            protocol="json",
            listener="",
            remote="127.0.0.1",
            channels=frozenset({"room:7"}),
        )
    ]
    assert [one.id for one in connections(User(pk=1))] == ["a", "b"]
    assert len(connections()) == 3
    assert is_online(1)
    assert not is_online(2)
    assert online_users([1, 2]) == {1}
    assert online_users(User(pk=key) for key in range(1, 30)) == {User(pk=1)}
    assert presence_count("room:7") == 2

    async def twins():
        assert len(await aconnections()) == 3
        assert await ais_online(1)
        assert await aonline_users(iter([1, 2])) == {1}
        assert await apresence_count("room:7") == 2

    asyncio.run(twins())


# Groups and permissions.


@pytest.fixture
def rooms(registry, there, ann):
    """Ann and Bob are in four channels, two of which depend on rights."""
    bob = User.objects.create_user("bob")

    class Staff(Channel):
        pattern = "staff:<int:pk>"

        def can_subscribe(self, user, pk):
            return user.groups.filter(name="staff").exists()

    class Editors(Channel):
        pattern = "edit:<int:pk>"
        permission = "auth.change_user"

    class Open(Channel):
        pattern = "open:<int:pk>"
        access = "authenticated"

    names = ["staff:1", "edit:1", "open:1", "of-no-class"]
    there |= {"a1": (str(ann.pk), names), "a2": (str(ann.pk), names), "b": (str(bob.pk), names)}
    staff = Group.objects.create(name="staff")
    editors = Group.objects.create(name="editors")
    permission = Permission.objects.get(codename="change_user")
    editors.permissions.add(permission)
    for user in (ann, bob):
        user.groups.set([staff, editors])
    return staff, editors, permission, bob


@pytest.fixture
def quiet(rooms, sent):
    sent.clear()
    return rooms


def test_leaving_a_group_takes_exactly_what_depended_on_it(quiet, ann, sent):
    staff, _, _, _ = quiet
    ann.groups.remove(staff)
    assert lost(sent) == [(str(ann.pk), "staff:1", LOST)]
    assert sent[0].fields == {"client": NOBODY, "user": str(ann.pk)}


@pytest.mark.parametrize("way", ["remove", "clear", "set"])
def test_a_group_loses_users(quiet, ann, sent, way):
    _, editors, _, bob = quiet
    change = getattr(editors.user_set, way)
    if way == "remove":
        change(ann)
        assert lost(sent) == [(str(ann.pk), "edit:1", LOST)]
    else:
        change(*([[]] if way == "set" else []))
        assert sorted(lost(sent)) == sorted((str(u.pk), "edit:1", LOST) for u in (ann, bob))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_group_loses_a_permission(quiet, ann, sent, reverse):
    _, editors, permission, bob = quiet
    bob.user_permissions.add(permission)
    sent.clear()
    if reverse:
        permission.group_set.clear()
    else:
        editors.permissions.remove(permission)
    assert lost(sent) == [(str(ann.pk), "edit:1", LOST)]


def test_a_group_is_deleted(quiet, ann, sent):
    _, editors, _, bob = quiet
    editors.delete()
    assert sorted(lost(sent)) == sorted((str(u.pk), "edit:1", LOST) for u in (ann, bob))


def test_a_permission_of_a_user_is_taken(quiet, ann, sent):
    _, editors, permission, _ = quiet
    ann.user_permissions.add(permission)
    ann.groups.remove(editors)
    sent.clear()
    ann.user_permissions.clear()
    assert lost(sent) == [(str(ann.pk), "edit:1", LOST)]


def test_a_right_that_is_rolled_back_is_not_lost(quiet, ann, sent):
    with pytest.raises(RuntimeError), transaction.atomic():
        ann.groups.clear()
        raise RuntimeError
    assert sent == []


def test_recheck_by_the_app(registry, there, ann, sent):
    members = {ann.pk}
    seen = []

    class Room(Channel):
        pattern = "room:<int:pk>"

        def can_subscribe(self, user, pk):
            seen.append((self.ctx.user_id, self.ctx.client, pk))
            return user.pk in members

    there |= {
        "a": (str(ann.pk), ["room:7", "room:8"]),
        "b": ("dev:1", ["room:7"]),
        "c": ("", ["room:7"]),
        "d": ("", ["room:7"]),
    }
    recheck(user=ann, channel="room:7")
    assert lost(sent) == []
    assert seen == [(str(ann.pk), "a", 7)]
    members.clear()
    recheck(user=ann, channel="room:7")
    assert lost(sent) == [(str(ann.pk), "room:7", LOST)]
    sent.clear()
    members.add(ann.pk)
    asyncio.run(arecheck(channel="room:7"))
    assert sent[0].fields == {"client": NOBODY}
    assert lost(sent) == [
        ("dev:1", "room:7", LOST),
        ("c", "room:7", LOST),
        ("d", "room:7", LOST),
    ]
    sent.clear()
    recheck(user="dev:1")
    assert lost(sent) == [("dev:1", "room:7", LOST)]


def test_can_stay_is_asked_first(registry, there, ann, sent):
    class Room(Channel):
        pattern = "room:<int:pk>"

        def can_subscribe(self, user, pk):
            return False

        def can_stay(self, user, pk):
            return pk == 7

    there["a"] = (str(ann.pk), ["room:7", "room:8"])
    recheck(user=ann)
    assert lost(sent) == [(str(ann.pk), "room:8", LOST)]


def test_what_is_not_decided_here_is_asked_again(registry, there, ann, sent, monkeypatch):
    class Room(Channel):
        pattern = "room:<int:pk>"

        def can_subscribe(self, user, pk):
            if pk == 3:
                raise KeyError("a rule that fails")
            return True

    monkeypatch.setattr("django_jackfield.rechecks.MOST_DECISIONS", 3)
    there["a"] = (str(ann.pk), [f"room:{pk}" for pk in range(2, 6)])
    recheck(user=ann)
    assert lost(sent) == [
        (str(ann.pk), "room:3", ASK_AGAIN),
        (str(ann.pk), "room:5", ASK_AGAIN),
    ]


def test_without_rules_the_server_is_not_asked(registry, ann, sent, monkeypatch):
    monkeypatch.setattr(LocMemBackend, "_ask", None)

    class Room(Channel):
        pattern = "room:<int:pk>"
        access = "authenticated"

    recheck(user=ann, on_commit=False)
    assert sent == []


def test_many_users_are_fetched_by_few_queries(
    registry, there, sent, django_assert_max_num_queries
):
    class Room(Channel):
        pattern = "room:<int:pk>"

        def can_subscribe(self, user, pk):
            return user.is_active

    users = get_user_model().objects.bulk_create(
        get_user_model()(username=f"u{n}", is_active=n % 2 == 0) for n in range(450)
    )
    there |= {f"c{user.pk}": (str(user.pk), ["room:7"]) for user in users}
    with django_assert_max_num_queries(3):
        recheck(channel="room:7")
    assert len(lost(sent)) == 225
