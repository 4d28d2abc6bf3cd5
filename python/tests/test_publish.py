"""The public functions: on commit, after a rollback, and when the queue is away."""

import asyncio

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection, transaction

from django_jackfield import (
    PublishError,
    adisconnect,
    ahistory,
    apresence,
    apresence_stats,
    apublish,
    apublish_many,
    asend,
    brokers,
    disconnect,
    history,
    publish,
    publish_many,
    send,
)
from django_jackfield.backends.locmem import LocMemBackend
from django_jackfield.signals import publication_failed, publication_sent


class GoneBackend(LocMemBackend):
    """A queue that is not there."""

    @property
    def failures(self):
        return (OSError,)

    def _send(self, commands):
        raise OSError("gone")


@pytest.fixture
def gone(settings):
    settings.JACKFIELD = {"default": {"BACKEND": "test_publish.GoneBackend"}}
    yield
    brokers["default"].breaker.succeeded()


@pytest.fixture
def pipelines():
    """The list of pipelines, each a list of the data sent in it."""
    sent = []

    def keep(commands, **_):
        sent.append([one.data for one in commands])

    publication_sent.connect(keep)
    yield sent
    publication_sent.disconnect(keep)


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_it_is_sent_at_once(jackfield_outbox):
    command = publish("room:1", {"n": 1})
    assert jackfield_outbox == [command]


@pytest.mark.django_db(transaction=True)
def test_one_transaction_is_one_pipeline(jackfield_outbox, pipelines):
    with transaction.atomic():
        for n in range(3):
            publish("room:1", n)
        with transaction.atomic():
            publish("room:1", 3)
        send(user=1, data=4)
        assert jackfield_outbox == []
    assert pipelines == [[0, 1, 2, 3, 4]]


@pytest.mark.django_db(transaction=True)
def test_a_rollback_sends_nothing(jackfield_outbox, pipelines):
    with pytest.raises(RuntimeError), transaction.atomic():
        publish("room:1", 1)
        raise RuntimeError
    assert jackfield_outbox == []
    publish("room:1", 2)
    assert pipelines == [[2]]


@pytest.mark.django_db(transaction=True)
def test_a_savepoint_rolled_back_takes_its_own_along(jackfield_outbox, pipelines):
    with transaction.atomic():
        publish("room:1", "before")
        with pytest.raises(RuntimeError), transaction.atomic():
            publish("room:1", "lost")
            raise RuntimeError
        with transaction.atomic():
            publish("room:1", "inner")
        publish("room:1", "after")
    assert pipelines == [["before", "inner", "after"]]


@pytest.mark.django_db(transaction=True)
def test_the_next_transaction_is_a_pipeline_of_its_own(jackfield_outbox, pipelines):
    for n in range(2):
        with transaction.atomic():
            publish("room:1", n)
    assert pipelines == [[0], [1]]


@pytest.mark.django_db(transaction=True)
def test_on_commit_false_is_sent_inside_the_transaction(jackfield_outbox):
    with pytest.raises(RuntimeError), transaction.atomic():
        publish("room:1", 1, on_commit=False)
        raise RuntimeError
    assert len(jackfield_outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_on_commit_can_be_the_setting(settings, jackfield_outbox):
    settings.JACKFIELD = {
        "default": {
            "BACKEND": "django_jackfield.backends.locmem.LocMemBackend",
            "ON_COMMIT": False,
        }
    }
    with transaction.atomic():
        publish("room:1", 1)
        assert len(jackfield_outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_a_failure_on_commit_is_told_and_hurts_nobody_else(gone, caplog):
    told, others = [], []

    def keep(commands, error, via, **_):
        told.append((len(commands), via, str(error)))

    publication_failed.connect(keep)
    with transaction.atomic():
        publish("room:1", 1)
        publish("room:1", 2)
        transaction.on_commit(lambda: others.append(1))
    publication_failed.disconnect(keep)
    assert others == [1]
    assert told[0][:2] == (2, "default")
    assert "gone" in caplog.text


def test_on_commit_false_raises_on_failure(gone):
    with pytest.raises(PublishError, match="gone"):
        publish("room:1", 1, on_commit=False)


def test_a_list_is_a_broadcast(jackfield_outbox):
    publish(["a", "b"], 1)
    assert [(one.method, one.channels) for one in jackfield_outbox] == [("broadcast", ["a", "b"])]


def test_what_few_publications_have(jackfield_outbox):
    rare = {
        "key": "k",
        "delta": True,
        "idempotency_key": "i",
        "version": 2,
        "version_epoch": "e",
    }
    publish("a", b"1", **rare)
    publish(["a", "b"], 1, **rare)
    publish_many([("a", 1, rare)])
    asyncio.run(apublish("a", 1, **rare))
    assert len(jackfield_outbox) == 4
    for command in jackfield_outbox:
        assert {name: command.fields[name] for name in rare} == rare
    assert jackfield_outbox[0].data == b"1"


def test_publish_many_is_one_pipeline(jackfield_outbox, pipelines):
    publish_many(("a", n) for n in range(3))
    assert pipelines == [[0, 1, 2]]
    assert publish_many([]) == []


def test_users_are_known_by_their_key(jackfield_outbox):
    send(user=User(pk=7), data=1)
    disconnect(user=User(pk=7), code=4001, reason="kicked")
    assert [one.fields["user"] for one in jackfield_outbox] == ["7", "7", "7"]
    for wrong in (AnonymousUser(), User(), None):
        with pytest.raises((TypeError, ValueError)):
            send(user=wrong, data=1)


def test_async_twins(jackfield_outbox):
    async def all_of_them():
        await apublish("a", 1, tags={"x": "y"})
        await apublish_many([("a", 2)])
        await asend(user=1, data=3)
        await adisconnect(user=1)
        assert await apresence("a") == {}
        assert await apresence_stats("a") == {"num_clients": 0, "num_users": 0}
        return await ahistory("a", limit=1)

    found = asyncio.run(all_of_them())
    assert found["publications"] == [{"offset": 1, "data": 1, "tags": {"x": "y"}}]
    sent = ["publish", "publish", "send", "disconnect", "invalidate_user_tokens"]
    assert [one.method for one in jackfield_outbox] == sent
    assert history("a", since={"offset": 1, "epoch": "locmem"})["publications"] == [
        {"offset": 2, "data": 2}
    ]


@pytest.mark.django_db
def test_in_a_test_case_nothing_commits(jackfield_outbox, django_capture_on_commit_callbacks):
    publish("room:1", "not captured")
    with django_capture_on_commit_callbacks(execute=True):
        publish("room:1", 1)
        with transaction.atomic():
            publish("room:1", 2)
    assert [one.data for one in jackfield_outbox] == [1, 2]
    assert connection.in_atomic_block
