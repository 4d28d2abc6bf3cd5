"""The fake client, used as a project would."""

import pytest
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import SimpleTestCase, TestCase

from django_jackfield import (
    Channel,
    ClientError,
    History,
    Principal,
    Refuse,
    Subscription,
    ask_client,
    connected,
    connecting,
    disconnect,
    disconnected,
    history,
    on,
    presence,
    presence_stats,
    publish,
    rpc,
    send,
    subscribed,
    unsubscribed,
)
from django_jackfield.backends.locmem import outbox
from django_jackfield.errors import AskError
from django_jackfield.registry import isolated
from django_jackfield.test import (
    CallError,
    Denied,
    Disconnected,
    JackfieldClient,
    NotHandled,
    PublishDenied,
    RealtimeTestMixin,
    SubscribeDenied,
)


@pytest.fixture
def handlers():
    """The realtime.py of this file, alone."""
    with isolated():
        yield declare()


def declare():
    told = []

    class Room(Channel):
        pattern = "room:<int:pk>"
        presence = True
        history = History(size=10, ttl=60)

        def can_subscribe(self, user, pk):
            return user.has_perm("auth.view_group") and Subscription(
                info={"pk": pk}, data={"hello": pk}
            )

        @on("say")
        def say(self, ctx, data, pk):
            User.objects.filter(pk=ctx.user_id).update(first_name=data["text"])
            with transaction.atomic():
                ctx.publish({"event": "message", "data": {"text": data["text"]}})

        @on("fail")
        def fail(self, ctx, data, pk):
            raise KeyError("fails")

    class News(Channel):
        pattern = "news"

        def can_subscribe(self, user):
            return True

        def can_publish(self, user):
            return user.is_staff

    @on("ping")
    def ping(ctx, data):
        told.append(("ping", data))

    @rpc("add")
    def add(ctx, a: int, b: int = 1):
        return a + b

    @rpc("full")
    def full(ctx):
        raise ClientError(409, "full", temporary=True)

    @rpc("out")
    def out(ctx):
        raise Refuse(4403, "out")

    @rpc("broken")
    def broken(ctx):
        raise KeyError("broken")

    @connected
    def came(ctx):
        told.append(("connected", ctx.user_id))

    @disconnected
    def went(ctx):
        told.append(("disconnected", ctx.data["code"]))

    @subscribed
    def joined(ctx):
        told.append(("subscribed", ctx.channel))

    @unsubscribed
    def left(ctx):
        told.append(("unsubscribed", ctx.channel))

    return told


class ChatTests(RealtimeTestMixin, TestCase):
    """The example of the design, in a plain TestCase."""

    @classmethod
    def setUpTestData(cls):
        cls.ann = User.objects.create_user("ann", is_staff=True)
        cls.ann.user_permissions.add(Permission.objects.get(codename="view_group"))
        cls.bob = User.objects.create_user("bob")

    def setUp(self):
        super().setUp()
        self.told = self.enterContext(isolated()) and declare()

    def test_say(self):
        ann, bob = self.jackfield_client(self.ann), self.jackfield_client(self.bob)
        self.assertEqual(ann.subscribe("room:7"), {"hello": 7})
        with self.assertRaises(SubscribeDenied) as caught:
            bob.subscribe("room:7")
        self.assertEqual(caught.exception.code, 103)
        with self.capturePublications() as pubs:
            ann.send("room:7", {"text": "hi"}, event="say")
        self.assertEqual(len(pubs), 1)
        self.assertEqual(pubs[0].data["data"]["text"], "hi")
        self.assertPublished("room:7", event="message", count=1)
        self.assertEqual(ann.received(), pubs)
        self.assertEqual(ann.received()[0].event, "message")
        self.assertEqual(ann.received()[0].data, {"text": "hi"})
        self.assertEqual(bob.received(), [])
        self.assertNotPublished("room:8")
        self.ann.refresh_from_db()
        self.assertEqual(self.ann.first_name, "hi")

    def test_what_the_app_publishes_waits_for_the_commit(self):
        ann = self.jackfield_client(self.ann)
        ann.subscribe("room:7")
        publish("room:7", {"event": "message", "data": 1})
        self.assertEqual(ann.received(), [])
        # What a handler publishes is committed with it, and what waits goes on waiting.
        ann.send("room:7", {"text": "hi"}, event="say")
        self.assertEqual([one.data for one in ann.received()], [{"text": "hi"}])
        with self.capturePublications() as pubs:
            publish("room:7", {"event": "message", "data": 2})
        self.assertEqual([one.data for one in ann.received("room:7")], [{"text": "hi"}, 2])
        self.assertEqual(len(pubs), 1)

    def test_lifecycle(self):
        ann = self.jackfield_client(self.ann)
        ann.subscribe("room:7")
        ann.subscribe("news")
        ann.unsubscribe("news")
        ann.disconnect()
        ann.disconnect()
        with self.assertRaises(Disconnected):
            ann.subscribe("room:7")
        self.assertEqual(
            self.told,
            [
                ("connected", str(self.ann.pk)),
                ("subscribed", "room:7"),
                ("subscribed", "news"),
                ("unsubscribed", "news"),
                ("unsubscribed", "room:7"),
                ("disconnected", 1000),
            ],
        )

    def test_who_is_there(self):
        ann = self.jackfield_client(self.ann, info={"name": "Ann"})
        ann.subscribe("room:7")
        member = {
            "user": str(self.ann.pk),
            "client": ann.id,
            "conn_info": {"name": "Ann"},
            "chan_info": {"pk": 7},
        }
        self.assertEqual(presence("room:7"), {ann.id: member})
        self.assertEqual(ann.presence("room:7"), {ann.id: member})
        self.assertEqual(presence_stats("room:7"), {"num_clients": 1, "num_users": 1})
        with self.assertRaises(Denied) as caught:
            ann.presence("news")
        self.assertEqual(caught.exception.code, 108)
        ann.disconnect()
        self.assertEqual(presence("room:7"), {})

    def test_history(self):
        ann = self.jackfield_client(self.ann)
        publish("room:7", {"event": "message", "data": 1}, on_commit=False)
        publish("room:7", {"event": "message", "data": 1}, id="x", on_commit=False)
        publish("room:7", {"event": "message", "data": 1}, id="x", on_commit=False)
        publish("room:7", 3, idempotency_key="y", on_commit=False)
        publish("room:7", 3, idempotency_key="y", on_commit=False)
        publish("room:7", 5, version=5, on_commit=False)
        publish("room:7", 4, version=4, on_commit=False)
        self.assertEqual(history("room:7")["offset"], 4)
        with self.assertRaises(Denied):
            ann.history("room:7")
        ann.subscribe("room:7")
        self.assertEqual(ann.received(), [])
        self.assertEqual([one.data for one in ann.history("room:7")], [1, 1, 3, 5])
        self.assertEqual([one.data for one in ann.history("room:7", since=3)], [5])
        self.assertEqual([one.data for one in ann.history("room:7", limit=1)], [1])
        last = history("room:7", limit=1, reverse=True)["publications"]
        self.assertEqual([one["data"] for one in last], [5])

    def test_a_client_publishes(self):
        ann, bob = self.jackfield_client(self.ann), self.jackfield_client(self.bob)
        bob.subscribe("news")
        ann.publish("news", {"n": 1})
        with self.assertRaises(PublishDenied):
            bob.publish("news", {"n": 2})
        self.assertEqual([one.data for one in bob.received("news")], [{"n": 1}])
        self.assertEqual(bob.received()[0].user, str(self.ann.pk))
        self.assertEqual(outbox, [])
        with self.assertRaises(PublishDenied) as caught:
            bob.send("room:7", {"text": "x"}, event="say")
        self.assertEqual(caught.exception.code, 103)

    def test_what_handlers_raise_reaches_the_test_if_wanted(self):
        ann = self.jackfield_client(self.ann)
        ann.subscribe("room:7")
        with self.assertRaises(KeyError):
            ann.send("room:7", event="fail")
        with self.assertRaises(NotHandled):
            ann.send("room:7", event="nope")
        with self.assertRaises(KeyError):
            ann.call("broken")
        quiet = self.jackfield_client(self.ann, raise_handler_exception=False)
        quiet.subscribe("room:7")
        self.assertIsNone(quiet.send("room:7", event="fail"))
        with self.assertRaises(CallError) as caught:
            quiet.call("broken")
        self.assertEqual(caught.exception.code, 100)

    def test_calls(self):
        ann = self.jackfield_client(self.ann)
        self.assertEqual(ann.call("add", a=1, b=2), 3)
        self.assertEqual(ann.call("add", {"a": 1}), 2)
        for method, code, temporary in (("full", 409, True), ("nope", 104, False)):
            with self.assertRaises(CallError) as caught:
                ann.call(method)
            self.assertEqual((caught.exception.code, caught.exception.temporary), (code, temporary))
        with self.assertRaises(Disconnected) as closed:
            ann.call("out")
        self.assertEqual(closed.exception.code, 4403)
        self.assertEqual(ann.close, (4403, "out"))
        self.assertIn(("disconnected", 4403), self.told)

    def test_the_app_speaks_to_users(self):
        ann, bob = self.jackfield_client(self.ann), self.jackfield_client(self.bob)
        ann.answers_with("where", lambda data: {"at": data})
        with self.capturePublications():
            send(user=self.ann, data={"event": "notification", "data": 3})
            disconnect(user=self.bob, code=4501, reason="signed out")
        self.assertEqual([one.data for one in ann.received("", "notification")], [3])
        self.assertEqual(bob.received(), [])
        self.assertEqual(bob.close, (4501, "signed out"))
        self.assertEqual(ask_client("where", 7, user=str(self.ann.pk)), {"at": 7})
        with self.assertRaises(AskError):
            ask_client("where", 7, user=str(self.bob.pk))

    def test_messages_outside_of_channels(self):
        self.jackfield_client(self.ann).send(None, {"n": 1}, event="ping")
        self.assertEqual(self.told[-1], ("ping", {"n": 1}))

    def test_unknown_channels(self):
        ann = self.jackfield_client(self.ann)
        for channel, code in (("nope:1", 102), ("room:x", 107), ("nope", 107)):
            with self.assertRaises(SubscribeDenied) as caught:
                ann.subscribe(channel)
            self.assertEqual(caught.exception.code, code, channel)
        ann.subscribe("room:1")
        with self.assertRaises(SubscribeDenied) as caught:
            ann.subscribe("room:1")
        self.assertEqual(caught.exception.code, 105)


class NobodyTests(RealtimeTestMixin, SimpleTestCase):
    """Without a database."""

    def test_connecting_decides(self):
        with isolated():

            @connecting
            def enter(ctx, data):
                if ctx.token == "bad":
                    raise Refuse(4401, "bad token")
                return data and Principal(user="dev:7", subs=["news"], data={"hi": 1})

            class News(Channel):
                pattern = "news"

            device = self.jackfield_client(data={"imei": 1})
            self.assertEqual(device.user_id, "dev:7")
            self.assertEqual(device.welcome, {"hi": 1})
            publish("news", 5, on_commit=False)
            self.assertEqual([one.data for one in device.received("news")], [5])
            with self.assertRaises(Disconnected) as caught:
                self.jackfield_client(token="bad")
            self.assertEqual(caught.exception.code, 4401)
            with self.assertRaises(Disconnected) as caught:
                self.jackfield_client()
            self.assertEqual(caught.exception.code, 3507)


def test_the_fixtures(handlers, jackfield_client, jackfield_outbox):
    client = jackfield_client()
    client.subscribe("news")
    publish("news", 1, on_commit=False)
    assert client.received() == jackfield_outbox
    assert isinstance(client, JackfieldClient)


@pytest.mark.django_db
async def _async_steps(jackfield_client):
    client = jackfield_client(connect=False)
    await client.aconnect()
    await client.asubscribe("news")
    assert await client.acall("add", a=1) == 2
    await client.adisconnect()
    assert not client.connected


def test_async_twins(handlers, jackfield_client):
    from asgiref.sync import async_to_sync

    async_to_sync(_async_steps)(jackfield_client)
