"""Jobs and functions that look at the server: presence, history, connections, tail."""

import io
import json
import threading

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from django_jackfield import (
    Channel,
    History,
    achannels,
    aconnections,
    anodes,
    channels,
    connections,
    nodes,
    publish,
)
from django_jackfield.management.jobs import tail
from django_jackfield.management.jobs.history import position
from django_jackfield.registry import isolated
from django_jackfield.websocket import WebSocket, WebSocketError
from servers import until


@pytest.fixture
def rooms():
    with isolated():

        class Room(Channel):
            pattern = "room:<int:pk>"
            presence = True
            history = History(size=10, ttl=60)

            def can_subscribe(self, user, pk):
                return True

        yield


def job(*arguments):
    """The lines of a job, as JSON."""
    out = io.StringIO()
    call_command("jackfield", *arguments, stdout=out, stderr=io.StringIO())
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def ann(rooms, jackfield_client):
    client = jackfield_client(7)
    client.subscribe("room:1")
    return client


def test_presence(ann):
    assert job("presence", "room:1") == [{"user": "7", "client": ann.id}]
    assert job("presence", "room:1", "--count") == [{"num_clients": 1, "num_users": 1}]
    assert job("presence", "room:2") == []


def test_connections(ann, jackfield_client):
    other = jackfield_client(8)
    assert [one["client"] for one in job("connections")] == [ann.id, other.id]
    assert [one["user"] for one in job("connections", "--user", "8")] == ["8"]
    assert [one["user"] for one in job("connections", "--client", ann.id)] == ["7"]
    assert connections(7)[ann.id]["state"] == {"channels": {"room:1": {}}}
    assert connections("nobody") == {}


def test_history(ann):
    for number in (1, 2, 3):
        publish("room:1", number, on_commit=False)
    assert [one["data"] for one in job("history", "room:1")] == [1, 2, 3]
    assert [one["data"] for one in job("history", "room:1", "--limit", "2")] == [2, 3]
    since = job("history", "room:1", "--since", "1:locmem", "--limit", "1")
    assert [one["data"] for one in since] == [2]
    assert job("history", "room:9") == []
    assert [one["data"] for one in job("history", "room:1", "--since", "2020-01-01")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("12:pQzN", {"offset": 12, "epoch": "pQzN"}),
        ("2023-11-14T22:13:20+00:00", {"time": 1700000000000}),
    ],
)
def test_where_a_history_begins(text, since):
    assert position(text) == since


@pytest.mark.parametrize("text", ["12", "soon", "a:b"])
def test_what_is_no_position(text):
    with pytest.raises(Exception, match="12:pQzN"):
        position(text)


def test_channels_and_nodes(ann):
    ann.subscribe("room:2")
    assert channels() == {"room:1": 1, "room:2": 1}
    assert channels("room:2*") == {"room:2": 1}
    assert [one["num_clients"] for one in nodes()] == [1]


def test_async_twins(ann):
    import asyncio

    async def ask():
        return await achannels("room:1"), list(await aconnections(7)), len(await anodes())

    assert asyncio.run(ask()) == ({"room:1": 1}, [ann.id], 1)


def test_tail_follows_until_it_has_enough(rooms, jackfield_live):
    out = io.StringIO()
    follow = threading.Thread(
        target=call_command,
        args=("jackfield", "tail", "room:1", "room:2", "--count", "2"),
        kwargs={"stdout": out, "stderr": io.StringIO()},
    )
    follow.start()
    until(lambda: len(channels("room:*")) == 2, what="the subscriptions of tail")
    publish("room:1", {"n": 1})
    publish("room:3", {"n": 2})
    publish("room:2", {"n": 3})
    follow.join(30)
    assert not follow.is_alive()
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {(one["channel"], one["data"]["n"]) for one in said} == {("room:1", 1), ("room:2", 3)}


def test_tail_ends_at_ctrl_c(rooms, jackfield_live, monkeypatch):
    def interrupted(link):
        raise KeyboardInterrupt

    closed = []
    monkeypatch.setattr(tail.WebSocket, "read", interrupted)
    monkeypatch.setattr(
        tail.WebSocket, "close", lambda link: closed.append(1) or link._socket.close()
    )
    call_command("jackfield", "tail", "room:1", stdout=io.StringIO(), stderr=io.StringIO())
    assert closed == [1]


def test_tail_says_what_is_wrong(settings, jackfield_outbox):
    with pytest.raises(CommandError, match="no server at ws://127"):
        job("tail", "room:1", "--url", "ws://127.0.0.1:9/connection/websocket")
    with pytest.raises(CommandError, match="is no ws://"):
        job("tail", "room:1", "--url", "http://127.0.0.1:9/")


def test_an_address_without_a_websocket(rooms, jackfield_live):
    with pytest.raises(WebSocketError, match="404"):
        WebSocket(jackfield_live.url + "/nothing")


def test_the_real_server_tells_the_same(rooms, jackfield_live):
    ann = User.objects.create_user("ann")
    client = jackfield_live.connect(ann)
    client.subscribe("room:1")
    assert channels("room:*") == {"room:1": 1}
    (node,) = nodes()
    assert (node["num_clients"], node["num_channels"]) == (1, 1)
    assert [one["user"] for one in job("presence", "room:1")] == [str(ann.pk)]
