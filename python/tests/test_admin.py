"""The pages of the admin, against fake clients, a queue that is away, and the real server."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.urls import reverse

from django_jackfield import Channel, History, brokers, on, publish
from django_jackfield.backends.locmem import LocMemBackend
from django_jackfield.dead import Letter
from django_jackfield.registry import isolated
from django_jackfield.testing.live import binary
from servers import until

PAGES = ("connection", "channel", "deadletter", "node")


def url(page, kind="changelist"):
    return reverse(f"admin:django_jackfield_{page}_{kind}")


def staff(name, *permissions):
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.fixture
def rooms():
    with isolated():

        class Room(Channel):
            pattern = "room:<int:pk>"
            presence = True
            history = History(size=50, ttl=3600)

            def can_subscribe(self, user, pk):
                return True

            @on("say")
            def say(self, ctx, data, pk):
                pass

        yield


@pytest.fixture
def ann(db, rooms, jackfield_client):
    user = User.objects.create_user("ann <b>")
    fake = jackfield_client(user, info={"name": "<script>alert(1)</script>"})
    fake.subscribe("room:1")
    fake.user = user
    return fake


@pytest.fixture
def root(db, client):
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_the_index_has_the_pages(root, jackfield_outbox):
    page = root.get(reverse("admin:index")).content.decode()
    for name in PAGES:
        assert url(name) in page


def test_connections(ann, root, jackfield_client):
    device = jackfield_client("dev:7")
    page = root.get(url("connection")).content.decode()
    assert ann.id in page
    assert device.id in page
    assert "ann &lt;b&gt;" in page
    assert "<b>" not in page
    assert reverse("admin:auth_user_change", args=[ann.user.pk]) in page
    assert "room:1" in page
    assert "<strong>root</strong>" in page
    page = root.get(url("connection"), {"user": "dev:7"}).content.decode()
    assert device.id in page
    assert ann.id not in page
    assert "Nobody is connected." in root.get(url("connection"), {"user": "none"}).content.decode()


def test_chosen_connections_are_closed(ann, root, jackfield_client):
    other = jackfield_client(ann.user)
    form = {"action": "kick", "chosen": [ann.id], "via": "default", "query": "user=1"}
    answer = root.post(url("connection", "action"), form)
    assert answer["Location"] == url("connection") + "?user=1"
    assert ann.close == (3503, "force disconnect")
    assert other.connected
    assert LogEntry.objects.get().object_id == ann.id
    page = root.get(url("connection")).content.decode()
    assert "1 connection is closed." in page
    assert ann.id not in page


def test_nothing_chosen(root, jackfield_outbox):
    answer = root.post(url("connection", "action"), {"action": "kick"}, follow=True)
    assert "Nothing was chosen." in answer.content.decode()


def test_channels(ann, root):
    ann.subscribe("room:2")
    page = root.get(url("channel")).content.decode()
    assert "?channel=room%3A1" in page
    assert "room:2" in page
    page = root.get(url("channel"), {"pattern": "room:2"}).content.decode()
    assert "?channel=room%3A1" not in page


def test_a_channel(ann, root):
    publish("room:1", {"event": "say", "data": "<i>hi</i>"}, on_commit=False)
    page = root.get(url("channel"), {"channel": "room:1"}).content.decode()
    assert ann.id in page
    assert "&lt;i&gt;hi&lt;/i&gt;" in page
    assert "<i>" not in page
    assert "<script>alert" not in page
    assert "Position 1 of epoch locmem" in page


def test_nodes(ann, root):
    page = root.get(url("node")).content.decode()
    assert "locmem" in page
    assert "This backend has no workers." in page


@pytest.fixture
def letters(monkeypatch, jackfield_outbox):
    """Dead letters of a backend that has some."""
    kept = {
        "id-1": {
            "id": "id-1",
            "reason": "no handler",
            "type": "message",
            "data": "<b>1</b>",
            "at": "1700000000000-0",
        },
        "id-2": {"id": "id-2", "reason": "bad <payload>", "method": "nope", "payload": "{}"},
    }

    def settle(self, wanted):
        letter = kept.pop(wanted.id, None)
        if letter is None:
            return []
        return [
            (
                Letter(wanted.id, letter["reason"], 0, True),
                "replayed" if wanted.put_back else "dropped",
            )
        ]

    monkeypatch.setattr(LocMemBackend, "dead_letters", lambda self, limit: list(kept.values()))
    monkeypatch.setattr(LocMemBackend, "settle_dead", settle)
    return kept


def test_dead_letters(letters, root):
    page = root.get(url("deadletter")).content.decode()
    assert "no handler" in page
    assert "bad &lt;payload&gt;" in page
    assert "<b>1" not in page
    form = {"action": "replay", "chosen": ["id-1", "gone"]}
    page = root.post(url("deadletter", "action"), form, follow=True).content.decode()
    assert "1 replayed" in page
    assert "1 gone already" in page
    assert list(letters) == ["id-2"]
    form = {"action": "drop", "chosen": ["id-2"]}
    page = root.post(url("deadletter", "action"), form, follow=True).content.decode()
    assert "1 dropped" in page
    assert not letters
    assert "There are none." in page


@pytest.mark.parametrize("page", PAGES)
def test_who_may_not_look(page, client, db, jackfield_outbox):
    client.force_login(staff("bob", "kick", "replay"))
    assert client.get(url(page)).status_code == 403
    client.logout()
    assert client.get(url(page)).status_code == 302


def test_who_may_look_but_not_touch(client, ann, letters):
    client.force_login(staff("bob", "view_connection"))
    assert 'value="kick"' not in client.get(url("connection")).content.decode()
    assert 'value="replay"' not in client.get(url("deadletter")).content.decode()
    for page, action in (("connection", "kick"), ("deadletter", "replay"), ("deadletter", "drop")):
        form = {"action": action, "chosen": [ann.id, "id-1"]}
        assert client.post(url(page, "action"), form).status_code == 403
    assert ann.connected
    assert len(letters) == 2


def test_each_permission_opens_its_own(client, ann, letters):
    client.force_login(staff("bob", "view_connection", "kick"))
    assert 'value="kick"' in client.get(url("connection")).content.decode()
    form = {"action": "replay", "chosen": ["id-1"]}
    assert client.post(url("deadletter", "action"), form).status_code == 403
    assert client.post(url("connection", "action"), {"action": "nope"}).status_code == 403


def test_a_form_needs_a_token_and_a_post(ann, db, django_user_model):
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(django_user_model.objects.create_superuser("root"))
    form = {"action": "kick", "chosen": [ann.id]}
    assert browser.post(url("connection", "action"), form).status_code == 403
    assert browser.get(url("connection", "action"), form).status_code == 405
    assert ann.connected


@pytest.mark.parametrize("page", PAGES)
def test_a_queue_that_is_away_is_told(page, root, settings):
    settings.JACKFIELD = {"default": {"OPTIONS": {"port": 9}, "KEYS": ["k"], "TIMEOUT": 0.5}}
    answer = root.get(url(page))
    assert answer.status_code == 200
    assert "The server cannot be asked:" in answer.content.decode()


def test_several_aliases(root, settings, jackfield_outbox):
    settings.JACKFIELD = settings.JACKFIELD | {"other": settings.JACKFIELD["default"]}
    page = root.get(url("node"), {"via": "other"}).content.decode()
    assert "<option selected>other</option>" in page
    assert root.get(url("node"), {"via": "nope"}).status_code == 200


def test_the_action_of_the_user_admin(ann, root, client):
    there = reverse("admin:auth_user_changelist")
    form = {"action": "jackfield_close_connections", "_selected_action": [ann.user.pk]}
    page = root.post(there, form, follow=True).content.decode()
    assert "Closed the connections of 1 user." in page
    assert not ann.connected
    client.force_login(staff("bob", "view_user", "change_user"))
    assert "jackfield_close_connections" not in client.get(there).content.decode()


def test_there_are_no_tables_and_no_migrations(db, capsys):
    from django.db import connection

    names = connection.introspection.table_names()
    assert not [name for name in names if name.startswith("django_jackfield_conn")]
    call_command("makemigrations", check=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out
    found = Permission.objects.filter(content_type__app_label="django_jackfield")
    assert {one.codename for one in found} >= {"view_connection", "kick", "replay"}


@pytest.mark.skipif(binary() is None, reason="no jackfield binary: name one by JACKFIELD_BIN")
def test_with_the_real_server(rooms, jackfield_live, client):
    client.force_login(User.objects.create_superuser("root"))
    ann = jackfield_live.connect(User.objects.create_user("ann"))
    ann.subscribe("room:1")
    ann.send("room:1", event="nobody hears this")
    until(lambda: brokers["default"].dead_letters(9), what="a dead letter")
    assert "no handler" in client.get(url("deadletter")).content.decode()

    def page():
        return client.get(url("node")).content.decode()

    until(lambda: "<strong>nobody</strong>" not in page(), what="a worker for each partition")
    assert "cannot be asked" not in page()
    assert ann.id in client.get(url("channel"), {"channel": "room:1"}).content.decode()
    (letter,) = brokers["default"].dead_letters(9)
    form = {"action": "drop", "chosen": [letter["id"]]}
    assert (
        "1 dropped" in client.post(url("deadletter", "action"), form, follow=True).content.decode()
    )
    client.post(url("connection", "action"), {"action": "kick", "chosen": [ann.id]})
    assert ann.wait_for_end()[0] == 3503
