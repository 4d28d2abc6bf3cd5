"""Documents: what the server asks for them, who may write, and what recheck does then."""

import asyncio
import base64
import json
import re

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied

from django_jackfield import Channel, History, StoredDocument, Subscription, on, recheck, rpc
from django_jackfield.checks.channels import check_declarations
from django_jackfield.dispatch import Dispatcher
from django_jackfield.documents import LOAD, SAVE
from django_jackfield.event import Event
from django_jackfield.namespaces import faults, namespaces, server_config
from django_jackfield.rechecks import ASK_AGAIN, LOST
from django_jackfield.registry import isolated
from django_jackfield.test import (
    CallError,
    JackfieldClient,
    PublishDenied,
    SubscribeDenied,
    load_document,
    save_document,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def registry(jackfield_outbox):
    with isolated() as empty:
        yield empty


class Store:
    """What a project would have in its database."""

    def __init__(self):
        self.rows = []
        self.readers = set()
        self.writers = set()


@pytest.fixture
def store(registry):
    kept = Store()

    class Doc(Channel):
        pattern = "doc:<int:pk>"
        document = "yjs"
        presence = True

        def can_subscribe(self, user, pk):
            return pk == 7 and str(user.pk) in kept.readers | kept.writers

        def can_publish(self, user, pk):
            return str(user.pk) in kept.writers

        def load_document(self, pk):
            assert self.ctx.channel == f"doc:{pk}"
            return StoredDocument(updates=list(kept.rows), upto=len(kept.rows))

        def save_document(self, update, replaces, pk):
            kept.rows[: replaces or 0] = []
            kept.rows.append(update)

    return kept


@pytest.fixture
def ann(db):
    return User.objects.create_user("ann")


def page(user, channel="doc:7"):
    client = JackfieldClient(user).connect()
    client.subscribe(channel)
    return client


def ask(registry, method, data, **fields):
    """An rpc event, answered by the worker's code."""
    event = Event(
        id="1", type="rpc", call=True, event=method, raw=json.dumps(data).encode(), **fields
    )
    return json.loads(Dispatcher(registry).handle(event).answer)


def declare(pattern="doc:<int:pk>", **attributes):
    both = {"load_document": lambda self, pk: [], "save_document": lambda self, *told, pk: None}
    return type("Doc", (Channel,), {"pattern": pattern, "document": "yjs"} | both | attributes)


# What the server asks.


def test_a_document_is_loaded_appended_to_and_replaced(store):
    assert load_document("doc:7") == StoredDocument(updates=[], upto=0)
    save_document("doc:7", b"\0one")
    save_document("doc:7", b"two\xff")
    loaded = load_document("doc:7")
    assert loaded == StoredDocument(updates=[b"\0one", b"two\xff"], upto=2)
    save_document("doc:7", b"three")
    save_document("doc:7", b"one and two", loaded.upto)
    assert sorted(store.rows) == [b"one and two", b"three"], "what came since it was loaded stays"


def test_the_wire(registry, store):
    said = {"channel": "doc:7", "update": base64.b64encode(b"\0\xff").decode(), "replaces": None}
    assert ask(registry, SAVE, said) == {"v": 1, "id": "1", "result": {"data": {}}}
    answer = ask(registry, LOAD, {"channel": "doc:7"})
    assert answer["result"] == {"data": {"updates": ["AP8="], "upto": 1}}


@pytest.mark.parametrize("fields", [{"client": "c1"}, {"user": "7"}, {"client": "c", "user": "7"}])
@pytest.mark.parametrize("method", [LOAD, SAVE])
def test_a_client_cannot_ask_for_it(registry, store, method, fields):
    store.rows.append(b"secret")
    data = {"channel": "doc:7", "update": "AAAA", "replaces": 1}
    assert ask(registry, method, data, **fields)["error"]["code"] == 104
    assert store.rows == [b"secret"]


def test_no_function_takes_a_name_of_the_server():
    with pytest.raises(ValueError, match="are the server's"):
        rpc(LOAD)


@pytest.mark.parametrize(
    ("method", "data", "code"),
    [
        ("jackfield.document.drop", {"channel": "doc:7"}, 104),
        (LOAD, {"channel": "nobody:7"}, 103),
        (LOAD, {"channel": "plain:7"}, 103),
        (LOAD, {"channel": 7}, 107),
        (LOAD, None, 107),
        (SAVE, {"channel": "doc:7"}, 107),
        (SAVE, {"channel": "doc:7", "update": "no base64!"}, 107),
    ],
)
def test_what_is_refused(registry, store, method, data, code):
    declare("plain:<int:pk>", document="")
    answer = ask(registry, method, data)
    assert (answer["error"]["code"], answer["error"].get("temporary")) == (code, False)


def test_a_document_that_is_gone_is_not_asked_for_again(registry):
    def gone(self, *told, pk):
        raise ObjectDoesNotExist

    declare(load_document=gone, save_document=gone)
    for work in (lambda: load_document("doc:7"), lambda: save_document("doc:7", b"x")):
        with pytest.raises(CallError, match="no such document") as told:
            work()
        assert (told.value.code, told.value.temporary) == (404, False)


def test_what_fails_is_asked_again(registry, caplog):
    def fails(self, *told, pk):
        raise OSError("disk full")

    declare(save_document=fails)
    data = {"channel": "doc:7", "update": "AAAA", "replaces": None}
    error = ask(registry, SAVE, data)["error"]
    assert (error["code"], error["temporary"]) == (100, True)
    with pytest.raises(OSError, match="disk full"):
        save_document("doc:7", b"x")


@pytest.mark.parametrize(
    ("said", "updates"),
    [
        ([], []),
        ((b"a", bytearray(b"b"), memoryview(b"c")), [b"a", b"b", b"c"]),
        ((one for one in [b"a"]), [b"a"]),
        (StoredDocument(updates=[b"a"]), [b"a"]),
    ],
)
def test_what_load_may_return(registry, said, updates):
    declare(load_document=lambda self, pk: said)
    assert load_document("doc:7") == StoredDocument(updates=updates, upto=None)


@pytest.mark.parametrize("said", [None, b"an update", "text", {}, 7, ["text"], [None]])
def test_what_load_may_not_return(registry, said):
    declare(load_document=lambda self, pk: said)
    with pytest.raises(TypeError, match=r"load_document returns|an update is bytes"):
        load_document("doc:7")


def test_async_methods(registry):
    kept = []

    class Doc(Channel):
        pattern = "doc:<int:pk>"
        document = "yjs"

        async def load_document(self, pk):
            await asyncio.sleep(0)
            return kept

        async def save_document(self, update, replaces, pk):
            kept.append((pk, update))

    save_document("doc:7", b"x")
    assert kept == [(7, b"x")]


# Who may.


def test_who_writes_and_who_reads(store, ann):
    bob = User.objects.create_user("bob")
    store.writers, store.readers = {str(ann.pk)}, {str(bob.pk)}
    assert page(ann).may_write("doc:7")
    assert not page(bob).may_write("doc:7")
    with pytest.raises(SubscribeDenied):
        page(None)
    with pytest.raises(PublishDenied):  # an update comes as Yjs or not at all
        page(ann).publish("doc:7", {"text": "hi"})


def test_the_answer_keeps_what_the_class_grants(registry, ann):
    def grant(self, user, pk):
        return Subscription(info={"name": "Ann"}, override={"presence": False})

    declare(can_subscribe=grant, can_publish=lambda self, user, pk: True)
    event = Event(id="1", type="subscribe", call=True, channel="doc:7", user=str(ann.pk))
    assert json.loads(Dispatcher(registry).handle(event).answer)["result"] == {
        "info": {"name": "Ann"},
        "override": {"presence": {"value": False}, "publish": {"value": True}},
    }


@pytest.mark.parametrize("error", [PermissionDenied, ObjectDoesNotExist])
def test_a_rule_that_raises_makes_a_reader(registry, ann, error):
    def no(self, user, pk):
        raise error

    declare(access="authenticated", can_publish=no)
    assert not page(ann).may_write("doc:7")


def test_a_document_for_everybody_is_asked_all_the_same(registry, ann):
    declare(access="public", can_publish=lambda self, user, pk: user.is_authenticated)
    assert page(ann).may_write("doc:7")
    assert not page(None).may_write("doc:7")


def test_can_publish_of_a_document_rewrites_nothing(registry, ann):
    declare(access="public", can_publish=lambda self, user, pk: 7)
    with pytest.raises(TypeError, match="returns True or False"):
        page(ann)


def test_recheck_of_a_right_to_write(store, ann):
    bob = User.objects.create_user("bob")
    store.writers, store.readers = {str(ann.pk)}, {str(bob.pk)}
    first, second, other = page(ann), page(ann), page(bob)
    elsewhere = JackfieldClient(ann).connect()
    store.writers, store.readers = {str(bob.pk)}, {str(ann.pk)}
    recheck(user=ann, channel="doc:7")
    assert [one.may_write("doc:7") for one in (first, second, other)] == [False, False, False]
    recheck(channel="doc:7")
    assert [one.may_write("doc:7") for one in (first, second, other)] == [False, False, True]
    assert "doc:7" not in elsewhere.channels, "who is not in it is not put in"
    assert [one.left_channels for one in (first, second, other)] == [[], [], []]
    store.readers = set()
    recheck(user=ann)
    for client in (first, second):
        assert client.left_channels == [("doc:7", LOST, "permission denied")]
    assert other.left_channels == []


def test_recheck_asks_again_where_a_rule_fails(registry, store, ann, monkeypatch):
    store.writers = {str(ann.pk)}
    first = page(ann)
    [namespace] = namespaces(registry)
    monkeypatch.setattr(namespace.classes[0], "can_publish", lambda self, user, pk: 7)
    recheck(channel="doc:7")
    assert first.left_channels == [("doc:7", ASK_AGAIN, "rights have changed")]


def test_what_a_subscription_says_of_publishing_counts(registry, ann):
    may = True

    class Board(Channel):
        pattern = "board:<int:pk>"

        def can_subscribe(self, user, pk):
            return Subscription(override={"publish": may})

    first = page(ann, "board:1")
    assert first.may_write("board:1")
    may = False
    recheck(channel="board:1")
    assert not first.may_write("board:1")
    assert first.left_channels == []


def test_a_document_whose_subscription_says_it_does_not_ask_can_publish(registry, ann):
    def never(self, user, pk):
        raise AssertionError

    declare(
        can_subscribe=lambda self, user, pk: Subscription(override={"publish": True}),
        can_publish=never,
    )
    first = page(ann)
    recheck(channel="doc:7")
    assert first.may_write("doc:7")


# What the server is told, and what manage.py check says.


def test_the_namespace_of_a_document(registry, store):
    [namespace] = namespaces(registry)
    assert namespace.options == {
        "subscribe_proxy_enabled": True,
        "subscribe_proxy_name": "app",
        "sub_refresh_proxy_enabled": True,
        "sub_refresh_proxy_name": "app",
        "presence": True,
        "allow_presence_for_subscriber": True,
        "document": "yjs",
        "channel_regex": "(?:[0-9]+)",
    }
    config = server_config(registry)
    assert config["channel"]["namespaces"][0]["document"] == "yjs"
    assert config["yjs"] == {"enabled": True}
    assert config["rpc"] == {"without_namespace": {"proxy_enabled": True}}


def test_a_document_for_everybody_in_the_server_s_file(registry):
    declare(access="public", can_publish=lambda self, user, pk: True)
    [namespace] = namespaces(registry)
    assert namespace.options["subscribe_proxy_enabled"]
    assert "allow_subscribe_for_anonymous" not in namespace.options


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"document": "word"}, "document is one of '', 'yjs', not 'word'"),
        ({"document": True}, "document is one of '', 'yjs', not True"),
        ({"load_document": Channel.load_document}, "needs load_document and save_document"),
        ({"save_document": Channel.save_document}, "needs load_document and save_document"),
        ({"access": "token"}, "no token says who may write"),
        ({"relay": True, "delivery": "latest"}, "does not go together with relay, delivery"),
        ({"history": History(size=1, ttl=1)}, "does not go together with history"),
    ],
)
def test_a_document_that_cannot_be(registry, attributes, says):
    found = list(faults(declare(**attributes)))
    assert any(re.search(says, one) for one in found), found


def test_a_document_hears_no_messages(registry):
    class Doc(declare()):
        pattern = "note:<int:pk>"

        @on("say")
        def say(self, ctx, data, pk):
            """Never called."""

    assert any("does not go together with @on('say')" in one for one in faults(Doc))


def test_checks(registry):
    declare("doc:<int:pk>", access="public")
    declare(
        "note:<int:pk>",
        access="public",
        can_publish=lambda self, user, pk: True,
        load_document=lambda self: [],
        save_document=lambda self, update, pk: None,
    )
    declare("memo:<int:pk>", access="public", load_document=Channel.load_document)
    found = sorted((one.id.removeprefix("jackfield."), one.msg) for one in check_declarations(None))
    assert [kind for kind, _ in found] == ["E012", "E012", "E016", "W013", "W013"]
    assert "load_document is asked with (self, pk)" in found[0][1]
    assert "save_document is asked with (self, update, replaces, pk)" in found[1][1]
