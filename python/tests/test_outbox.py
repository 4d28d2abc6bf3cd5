"""The outbox and the inbox in one process: rows, relays, leaders, events that come twice."""

import asyncio
import contextlib
import json
import os
import signal
import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from django_jackfield import (
    PublishError,
    apublish,
    asend,
    brokers,
    disconnect,
    publish,
    publish_many,
    send,
)
from django_jackfield.backends import locmem
from django_jackfield.backends.locmem import LocMemBackend
from django_jackfield.checks.outbox import check_outbox
from django_jackfield.inbox.models import HandledEvent
from django_jackfield.inbox.once import aprune, arun_once, prune, run_once
from django_jackfield.outbox import leader
from django_jackfield.outbox.models import WaitingCommand
from django_jackfield.outbox.relay import Relay, in_background
from django_jackfield.signals import publication_failed, publication_sent
from servers import until

LOCMEM = "django_jackfield.backends.locmem.LocMemBackend"


class DownBackend(LocMemBackend):
    """A queue that is there or not, and of which partitions may be full."""

    up = False
    full: set[int] = set()

    @property
    def failures(self):
        return (OSError,)

    def _send(self, commands):
        if not type(self).up:
            raise OSError("gone")
        if any(one.partition(self.config.partitions) in self.full for one in commands):
            raise PublishError("full")
        super()._send(commands)


@pytest.fixture
def sent(settings):
    """The commands that were sent, with the outbox on."""
    settings.JACKFIELD = {"default": {"BACKEND": LOCMEM, "OUTBOX": True}}
    locmem.outbox.clear()
    yield locmem.outbox
    locmem.outbox.clear()


@pytest.fixture
def down(settings):
    """A queue that is away until the test says otherwise."""
    settings.JACKFIELD = {
        "default": {
            "BACKEND": "test_outbox.DownBackend",
            "OUTBOX": True,
            "BREAKER": (1000, 0.01),
        }
    }
    DownBackend.up, DownBackend.full = False, set()
    locmem.outbox.clear()
    yield DownBackend
    locmem.outbox.clear()


@pytest.fixture
def strict(sent, settings):
    settings.JACKFIELD = {"default": {"BACKEND": LOCMEM, "OUTBOX": "strict"}}
    return sent


def waiting():
    return WaitingCommand.objects.count()


def relay(**options):
    return Relay(**({"age_seconds": 0} | options))


@pytest.mark.django_db(transaction=True)
def test_the_row_lives_from_the_call_to_the_send(sent):
    seen = []

    def look(commands, **_):
        seen.append((len(commands), waiting()))

    publication_sent.connect(look)
    with transaction.atomic():
        publish("room:1", 1)
        publish_many([("room:1", 2), ("room:2", 3)])
        send(user=7, data=4)
        disconnect(user=7)
        rows = list(WaitingCommand.objects.order_by("pk"))
    publication_sent.disconnect(look)
    assert seen == [(5, 5)]
    assert waiting() == 0
    assert [row.command for row in rows] == sent


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_has_no_row(sent):
    with transaction.atomic():
        publish("room:1", "before")
        with pytest.raises(RuntimeError), transaction.atomic():
            publish("room:1", "lost")
            raise RuntimeError
        assert waiting() == 1
    with pytest.raises(RuntimeError), transaction.atomic():
        publish("room:1", "lost too")
        raise RuntimeError
    assert waiting() == 0
    assert [one.data for one in sent] == ["before"]


@pytest.mark.django_db(transaction=True)
def test_the_queue_is_away_and_comes_back(down):
    told = []

    def keep(commands, kept, **_):
        told.append((len(commands), kept))

    publication_failed.connect(keep)
    with transaction.atomic():
        commands = [publish("room:1", n) for n in range(3)]
    commands.append(publish("room:1", 3))
    publication_failed.disconnect(keep)
    assert told == [(3, 3), (1, 1)]
    assert waiting() == 4
    one = relay()
    assert one.sweep() == 0
    assert "sent=0" in one.metrics()
    assert "waiting=4" in one.metrics()
    down.up = True
    assert until(one.sweep, what="the end of the breaker's pause") == 4
    assert locmem.outbox == commands
    assert waiting() == 0
    assert "sent=4" in one.metrics()


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_sent_and_not_deleted_goes_again_with_its_id(sent, monkeypatch):
    def broken(using, keys):
        raise DatabaseError("gone")

    monkeypatch.setattr("django_jackfield.outbox.store.take_out", broken)
    with transaction.atomic():
        command = publish("room:1", 1)
    assert waiting() == 1
    assert relay().sweep() == 1
    assert sent == [command, command]


@pytest.mark.django_db(transaction=True)
def test_young_rows_are_left_to_their_process(down):
    with transaction.atomic():
        publish("room:1", 1)
    down.up = True
    assert Relay(age_seconds=3600).sweep() == 0
    assert until(relay().sweep, what="the end of the breaker's pause") == 1


@pytest.mark.django_db(transaction=True)
def test_a_full_partition_holds_up_itself_and_nobody_else(down, monkeypatch):
    monkeypatch.setattr("django_jackfield.delivery.send_now", _refused)
    with transaction.atomic():
        commands = [publish(f"room:{n % 4}", n) for n in range(40)]
    monkeypatch.undo()
    blocked = commands[0].partition(8)
    beside = [one for one in commands if one.partition(8) != blocked]
    assert beside
    down.up, down.full = True, {blocked}
    one = relay(batch=7)
    assert one.sweep() == len(beside)
    assert by_channel(locmem.outbox) == by_channel(beside)
    assert waiting() == len(commands) - len(beside)
    down.full = set()
    one.sweep()
    assert by_channel(locmem.outbox) == by_channel(commands)


def by_channel(commands):
    found = {}
    for one in commands:
        found.setdefault(one.channels[0], []).append(one.data)
    return found


def _refused(commands, via):
    raise PublishError("not now")


@pytest.mark.django_db(transaction=True)
def test_outbox_of_one_call(settings, jackfield_outbox):
    with transaction.atomic():
        publish("room:1", 1, outbox=True)
        asyncio_free_twins()
        assert waiting() == 1
    assert len(jackfield_outbox) == 3
    assert waiting() == 0
    with pytest.raises(TypeError, match="on_commit"):
        publish("room:1", 1, outbox=True, on_commit=False)


def asyncio_free_twins():
    """The others leave no row when they say so."""
    publish_many([("room:1", 2)], outbox=False)
    send(user=1, data=3, outbox=False)


@pytest.mark.django_db(transaction=True)
def test_async_twins_go_through_it(down):
    async def both():
        await apublish("room:1", 1)
        await asend(user=1, data=2, outbox=True)

    asyncio.run(both())
    assert waiting() == 2


@pytest.mark.django_db(transaction=True)
def test_strict_is_sent_by_a_relay_only(strict):
    with transaction.atomic():
        commands = [publish("room:1", n) for n in range(5)]
    commands.append(publish("room:1", 5))
    assert strict == []
    assert relay(age_seconds=3600, batch=2).sweep() == 6
    assert strict == commands


@pytest.mark.django_db(transaction=True)
def test_strict_has_one_leader(strict, monkeypatch):
    publish("room:1", 1)

    @contextlib.contextmanager
    def taken(connection, via):
        yield False

    monkeypatch.setattr("django_jackfield.outbox.relay.leading", taken)
    assert relay().sweep() == 0
    monkeypatch.undo()
    assert relay().sweep() == 1


def test_a_file_is_a_leader_where_rows_cannot_be_locked(tmp_path):
    class Site:
        settings_dict = {"NAME": tmp_path / "db.sqlite3"}

    with (
        leader._file(Site, "default") as first,
        leader._file(Site, "default") as second,
        leader._file(Site, "other") as third,
    ):
        assert (first, second, third) == (True, False, True)
    with leader._file(Site, "default") as again:
        assert again


@pytest.mark.django_db(transaction=True)
def test_an_alias_that_is_gone_keeps_its_rows(sent, settings, caplog):
    settings.JACKFIELD = {"default": {"BACKEND": LOCMEM, "OUTBOX": "strict"}}
    publish("room:1", 1)
    WaitingCommand.objects.update(via="old")
    publish("room:1", 2)
    assert relay().sweep() == 1
    assert waiting() == 1
    assert "JACKFIELD['old']" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_job_sweeps_once(down, capsys):
    publish("room:1", 1)
    with pytest.raises(SystemExit):
        call_command("jackfield", "relay", "--once", "--age", "0")
    assert "sent=0 failed=1 waiting=1" in capsys.readouterr().out
    down.up = True
    until(brokers["default"].breaker.allows, what="the end of the breaker's pause")
    call_command("jackfield", "relay", "--once", "--age", "0", "--prune-inbox", "1")
    assert "sent=1 failed=0 waiting=0" in capsys.readouterr().out


@pytest.mark.django_db(transaction=True)
def test_the_job_ends_at_sigterm(strict):
    publish("room:1", 1)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    ended = threading.Event()

    def end():
        with contextlib.suppress(AssertionError):
            until(lambda: strict, what="the send")
        os.kill(os.getpid(), signal.SIGTERM)
        ended.set()

    thread = threading.Thread(target=end)
    thread.start()
    try:
        call_command("jackfield", "relay", "--interval", "3600")
    finally:
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended.is_set()
    assert len(strict) == 1
    assert waiting() == 0


@pytest.mark.django_db
def test_a_relay_in_a_thread_ends_with_its_block(sent):
    with in_background(interval_seconds=3600) as one:
        pass
    assert one._stop.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "relay"]


def test_checks(settings):
    settings.JACKFIELD = {"default": {"BACKEND": LOCMEM, "OUTBOX": True}}
    assert check_outbox(None) == []
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django_jackfield.outbox"
    ]
    assert [one.id for one in check_outbox(None)] == ["jackfield.E020"]
    with pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"):
        publish("room:1", 1)
    with pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"):
        Relay()
    settings.JACKFIELD = {"default": {"OUTBOX": False}}
    assert check_outbox(None) == []


def test_on_commit_off_makes_the_outbox_useless(settings):
    settings.JACKFIELD = {"default": {"OUTBOX": "strict", "ON_COMMIT": False}}
    assert [one.id for one in check_outbox(None)] == ["jackfield.E020"]
    settings.JACKFIELD = {"default": {"OUTBOX": "sometimes"}}
    with pytest.raises(ImproperlyConfigured, match="strict"):
        publish("room:1", 1)


@pytest.mark.django_db(transaction=True)
def test_an_event_is_handled_once_and_answered_twice():
    def book():
        Group.objects.create(name="booked")
        return {"n": 1}

    assert run_once("c1-1", book) == {"n": 1}
    assert run_once("c1-1", book) == {"n": 1}
    assert Group.objects.count() == 1
    assert json.loads(HandledEvent.objects.get().reply) == {"n": 1}
    assert run_once("c1-2", lambda: None) is None
    assert run_once("c1-2", book) is None


@pytest.mark.django_db(transaction=True)
def test_a_handler_that_raises_has_not_handled_it():
    def fail():
        Group.objects.create(name="half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_once("c1-1", fail)
    with pytest.raises(TypeError):
        run_once("c1-1", lambda: Group.objects.create(name="reply") and object())
    assert Group.objects.count() == HandledEvent.objects.count() == 0
    assert run_once("c1-1", lambda: 1) == 1


@pytest.mark.django_db(transaction=True)
def test_an_integrity_error_of_the_handler_is_its_own():
    def twice():
        for _ in range(2):
            Group.objects.create(name="one of a kind")

    with pytest.raises(DatabaseError):
        run_once("c1-1", twice)
    assert HandledEvent.objects.count() == 0
    assert not connection.in_atomic_block


@pytest.mark.django_db(transaction=True)
def test_the_inbox_forgets_by_age(capsys):
    run_once("old", lambda: 1)
    HandledEvent.objects.update(handled_at="2020-01-01T00:00:00Z")
    run_once("new", lambda: 1)
    assert prune(timedelta(days=36500)) == 0
    call_command("jackfield", "inbox", "prune", "--days", "7")
    assert "1 forgotten" in capsys.readouterr().out
    assert [one.pk for one in HandledEvent.objects.all()] == ["new"]


@pytest.mark.django_db(transaction=True)
def test_async_once():
    async def reply():
        return 5

    async def both():
        first = await arun_once("c1-1", reply)
        return first, await arun_once("c1-1", lambda: 6), await aprune(timedelta(days=1))

    assert asyncio.run(both()) == (5, 5, 0)


def test_the_inbox_must_be_installed(settings):
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django_jackfield.inbox"
    ]
    with pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"):
        run_once("c1-1", lambda: 1)
    with pytest.raises(ValueError, match="empty"):
        run_once("", lambda: 1)
