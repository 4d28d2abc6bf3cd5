"""Rights on open sockets: the real server, its own queue, a worker, and websockets."""

import json
import os
import shutil
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from django_jackfield import (
    Channel,
    brokers,
    connections,
    disconnect,
    is_online,
    online_users,
    recheck,
    unsubscribe,
)
from django_jackfield.errors import JackfieldError
from django_jackfield.registry import isolated
from django_jackfield.worker.worker import Worker
from servers import until

BINARY = os.environ.get("JACKFIELD_BIN") or shutil.which("jackfield")
KEY = "a-key-of-the-live-tests-that-is-long-enough"
CONFIG = f"""
[app_link]
driver = "embedded"

[client.token]
hmac_secret_key = "{KEY}"

[[channel.namespaces]]
name = "staff"
subscribe_proxy_enabled = true
presence = true

[[channel.namespaces]]
name = "room"
subscribe_proxy_enabled = true
presence = true

[[channel.namespaces]]
name = "secret"

[[channel.namespaces]]
name = "open"
allow_subscribe_for_client = true
"""

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not BINARY, reason="no jackfield: set JACKFIELD_BIN"),
]


@pytest.fixture(scope="module")
def server():
    os.environ.setdefault("JACKFIELD_BIN", BINARY)
    sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
    from serving import Server

    with Server(CONFIG) as running:
        yield running


@pytest.fixture(autouse=True)
def registry():
    with isolated() as empty:
        yield empty


@pytest.fixture(autouse=True)
def worker(server, settings, registry):
    settings.SESSION_ENGINE = "django_jackfield.sessions.db"
    settings.JACKFIELD = {
        "default": {
            "OPTIONS": {"port": server.embedded},
            "KEYS": [KEY],
            "PUBLIC_URL": server.url,
            "TIMEOUT": 10.0,
        }
    }
    running = Worker(brokers["default"], registry, threads=2)
    thread = threading.Thread(target=running.run)
    thread.start()
    yield running
    running.stop()
    running.stop()
    thread.join()
    brokers.close_all()


class Page:
    """An open page: a socket with the token of a Django test client."""

    def __init__(self, server, browser=None, token=None):
        self.url, self.browser, self.ids, self.pushes = server.url, browser, 0, []
        self.token = token or self.fetched()
        self.open()

    def fetched(self):
        answer = self.browser.get("/jackfield/token/")
        return answer.json()["token"] if answer.status_code == 200 else None

    def open(self):
        self.stack = ExitStack()
        self.socket = self.stack.enter_context(connect(self.url))
        self.reply = self.ask(connect={"token": self.token})
        return self.reply

    def ask(self, **command):
        """The reply to a command, or the close code."""
        self.ids += 1
        try:
            self.socket.send(json.dumps({"id": self.ids, **command}))
            while True:
                reply = self.read()
                if isinstance(reply, int) or reply.get("id") == self.ids:
                    return reply
        except ConnectionClosed as error:
            return error.rcvd.code

    def read(self):
        """The next message, or the close code; pushes are kept."""
        try:
            for line in self.socket.recv(30).splitlines():
                message = json.loads(line)
                if message == {}:
                    self.socket.send("{}")
                elif "push" in message:
                    self.pushes.append(message["push"])
                return message
        except ConnectionClosed as error:
            return error.rcvd.code

    def enter(self, channel, **more):
        said = self.ask(subscribe={"channel": channel, **more})
        while said.get("error", {}).get("temporary"):  # The worker is slow; SDKs ask again, too.
            said = self.ask(subscribe={"channel": channel, **more})
        return said["error"]["code"] if "error" in said else True

    def closed(self):
        """The code and the reason with which the server ended it."""
        while not isinstance(self.read(), int):
            pass
        return self.socket.close_code, self.socket.close_reason

    def taken_out(self):
        """The next channel it is taken out of, and the code."""
        while True:
            for number, push in enumerate(self.pushes):
                if "unsubscribe" in push:
                    del self.pushes[number]
                    return push["channel"], push["unsubscribe"]["code"]
            assert not isinstance(self.read(), int), self.socket.close_code

    def lives(self):
        """Whether it is open and has heard all that was said to it before now."""
        return self.ask(rpc={"method": "nothing"}) not in (3500, 3005, 4001)

    def close(self):
        self.stack.close()


@pytest.fixture
def page(server):
    opened = []

    def make(*args, **kwargs):
        opened.append(Page(server, *args, **kwargs))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def browser_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.fixture
def ann():
    return User.objects.create_user("ann", password="old")


@pytest.fixture
def bob():
    return User.objects.create_user("bob", password="old")


def refused(server, token):
    """How a token is refused: an error code or a close code; None if it is not."""
    one = Page(server, token=token)
    one.close()
    if isinstance(one.reply, int):
        return one.reply
    return one.reply.get("error", {}).get("code")


class Rooms:
    @staticmethod
    def declare(members):
        class Staff(Channel):
            pattern = "staff:<int:pk>"

            def can_subscribe(self, user, pk):
                return user.groups.filter(name="staff").exists()

        class Room(Channel):
            pattern = "room:<int:pk>"

            def can_subscribe(self, user, pk):
                return user.pk in members

        class Secret(Channel):
            pattern = "secret:<int:pk>"
            access = "token"

            def can_subscribe(self, user, pk):
                return user.pk in members


def knows_connections():
    try:
        connections()
    except JackfieldError:
        return False
    return True


@pytest.fixture
def asks(worker):
    if not knows_connections():
        pytest.skip("this server does not know the command `connections`")


def test_leaving_a_group_takes_exactly_what_depended_on_it(page, ann, bob, asks):
    members = {ann.pk, bob.pk}
    Rooms.declare(members)
    staff = Group.objects.create(name="staff")
    for user in (ann, bob):
        user.groups.add(staff)
    pages = [page(browser_of(ann)), page(browser_of(ann)), page(browser_of(bob))]
    for one in pages:
        assert [one.enter(name) for name in ("staff:1", "staff:2", "room:7", "open:1")] == [
            True
        ] * 4
    assert pages[0].enter("room:7") == 105
    ann.groups.remove(staff)
    for one in pages[:2]:
        assert {one.taken_out(), one.taken_out()} == {("staff:1", 2103), ("staff:2", 2103)}
    assert all(one.lives() for one in pages)
    assert not any("unsubscribe" in push for one in pages for push in one.pushes)
    assert pages[0].enter("staff:1") == 103
    assert pages[2].enter("staff:1") == 105
    there = {one.user_id: one.channels for one in connections()}
    assert there[str(ann.pk)] == {"room:7", "open:1"}
    assert there[str(bob.pk)] == {"staff:1", "staff:2", "room:7", "open:1"}


def test_rights_of_the_app_s_own(page, ann, bob, asks):
    members = {ann.pk, bob.pk}
    Rooms.declare(members)
    one, other = page(browser_of(ann)), page(browser_of(bob))
    for each in (one, other):
        assert each.enter("room:7") is True
    members.remove(ann.pk)
    recheck(channel="room:7")
    assert one.taken_out() == ("room:7", 2103)
    assert one.enter("room:7") == 103
    assert other.enter("room:7") == 105


def test_a_channel_is_opened_by_the_token_view(page, ann, bob, asks):
    members = {ann.pk}
    Rooms.declare(members)
    browser = browser_of(ann)
    one = page(browser)
    assert one.enter("secret:7") == 103
    token = browser.get("/jackfield/token/?channel=secret:7").json()["token"]
    assert one.enter("secret:7", token=token) is True
    assert browser_of(bob).get("/jackfield/token/?channel=secret:7").status_code == 403
    members.clear()
    recheck(user=ann)
    assert one.taken_out() == ("secret:7", 2103)


def test_unsubscribe(page, ann):
    one = page(browser_of(ann))
    assert one.enter("open:1") is True
    unsubscribe(ann, "open:1", code=2001)
    assert one.taken_out() == ("open:1", 2001)


def test_a_logout_ends_only_its_own_session(server, page, ann):
    here, there = browser_of(ann), browser_of(ann)
    pages = [page(here), page(here), page(there)]
    stolen = pages[0].token
    assert refused(server, stolen) is None
    here.logout()
    assert [one.closed()[0] for one in pages[:2]] == [3500, 3500]
    assert refused(server, stolen) == 3500
    assert pages[2].lives()
    assert here.get("/jackfield/token/").status_code == 403
    assert refused(server, page(there).token) is None


def test_a_session_that_is_deleted_elsewhere(server, page, ann):
    from django_jackfield.sessions.db import SessionStore

    here, there = browser_of(ann), browser_of(ann)
    one, other = page(here), page(there)
    SessionStore().delete(there.session.session_key)
    assert other.closed()[0] == 3500
    assert refused(server, other.token) == 3500
    assert one.lives()


@pytest.fixture
def renews(server, worker, page, ann):
    """Skips where the server does not know `renew`."""
    probe = page(token=page(browser_of(ann)).token)
    disconnect(session=browser_session(probe), reconnect=True)
    until(lambda: True)
    code = wait_code(probe)
    if code != 3005:
        pytest.skip(f"this server does not know `renew` ({code})")


def browser_session(one):
    import base64

    body = one.token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["jti"]


def wait_code(one, seconds=3):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            one.socket.recv(0.2)
        except TimeoutError:
            continue
        except ConnectionClosed as error:
            return error.rcvd.code
    return None


def change_password(browser, user):
    """What Django's PasswordChangeView does."""
    request = RequestFactory().get("/")
    request.session = browser.session
    request.user = user
    user.set_password("new")
    user.save()
    update_session_auth_hash(request, user)
    request.session.save()
    browser.cookies["sessionid"] = request.session.session_key


def test_a_new_password_leaves_only_the_session_that_has_it(server, page, ann, bob, renews):
    here, there = browser_of(ann), browser_of(ann)
    one, other, stranger = page(here), page(there), page(browser_of(bob))
    change_password(here, ann)
    for each in (one, other):
        assert each.closed() == (4001, "password changed")
        until(lambda each=each: refused(server, each.token) == 109, what="a token that is void")
    assert page(here).reply["connect"]["client"]
    assert there.get("/jackfield/token/").status_code == 403
    assert stranger.lives()


@pytest.mark.parametrize("way", ["deactivated", "deleted"])
def test_who_is_gone_stays_gone(server, page, ann, bob, renews, way):
    browser = browser_of(ann)
    one, stranger = page(browser), page(browser_of(bob))
    if way == "deleted":
        ann.delete()
    else:
        ann.is_active = False
        ann.save()
    assert one.closed() == (4001, f"user {way}")
    until(lambda: refused(server, one.token) == 109, what="a token that is void")
    assert browser.get("/jackfield/token/").status_code == 403
    assert stranger.lives()


def test_who_is_there(page, ann, bob, asks):
    assert not is_online(ann)
    one = page(browser_of(ann))
    assert is_online(ann)
    assert online_users([ann, bob]) == {ann}
    found = connections(ann)
    assert [(each.user_id, each.transport, each.channels) for each in found] == [
        (str(ann.pk), "websocket", frozenset())
    ]
    disconnect(connection=found[0].id, code=4501, reason="bye")
    assert one.closed() == (4501, "bye")
    until(lambda: not is_online(ann), what="nobody there")


def test_disconnect_of_a_channel(page, ann, bob, asks):
    one, other = page(browser_of(ann)), page(browser_of(bob))
    assert one.enter("open:1") is True
    disconnect(channel="open:1", code=4502)
    assert one.closed()[0] == 4502
    assert other.lives()


def test_what_the_server_remembers_is_forgotten(page, ann, registry):
    members = {ann.pk}

    class Room(Channel):
        pattern = "room:<int:pk>"
        access_ttl = 600

        def can_subscribe(self, user, pk):
            return user.pk in members

    assert page(browser_of(ann)).enter("room:7") is True
    members.clear()
    assert page(browser_of(ann)).enter("room:7") is True
    recheck(user=ann)
    until(lambda: page(browser_of(ann)).enter("room:7") == 103, what="an answer forgotten")
    members.add(ann.pk)
    assert page(browser_of(ann)).enter("room:7") is True
    members.clear()
    recheck(channel="room:7")
    until(lambda: page(browser_of(ann)).enter("room:7") == 103, what="an answer forgotten")
