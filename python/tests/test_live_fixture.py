"""The fixture `jackfield_live`: the real binary, a worker, and clients of it."""

import pytest
from django.contrib.auth.models import User
from websockets.sync.client import connect

from django_jackfield import publish, send
from django_jackfield.test import CallError, Disconnected, SubscribeDenied
from django_jackfield.testing import live


def test_users_see_each_other(jackfield_live):
    ann = User.objects.create_user("ann")
    with jackfield_live.connect(ann) as client:
        assert client.call("whoami") == str(ann.pk)
        with pytest.raises(CallError) as caught:
            client.call("deny", 1)
        assert caught.value.code == 103
        with pytest.raises(SubscribeDenied):
            client.subscribe("nope:7")
        send(user=ann, data={"event": "notification", "data": 3})
        heard = client.wait_for(1, event="notification")
        assert [one.data for one in heard] == [3]
        with pytest.raises(Disconnected) as closed:
            client.call("kick")
        assert closed.value.code == 4403
    assert jackfield_live.url.startswith("ws://127.0.0.1:")


@pytest.mark.jackfield_config(
    {"channel": {"without_namespace": {"allow_subscribe_for_client": True}}}
)
def test_more_configuration(jackfield_live):
    client = jackfield_live.connect(User.objects.create_user("ann"))
    client.subscribe("free")
    publish("free", {"n": 1})
    assert [one.data for one in client.wait_for(1, "free")] == [{"n": 1}]


@pytest.fixture
def by_cookie(settings):
    settings.JACKFIELD = {"default": {"AUTH": "session", "CONNECT_URL": "http://elsewhere.test/"}}


def test_cookies_log_in_at_the_live_server(by_cookie, live_server, jackfield_live, client):
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    cookies = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    for headers, said in ((cookies, f'"user":"{ann.pk}"'), ({}, "unauthorized")):
        with connect(
            jackfield_live.url, origin=live_server.url, additional_headers=headers
        ) as socket:
            socket.send('{"id":1,"connect":{}}')
            assert said in socket.recv(30).replace(" ", "")
    # Tokens count as ever.
    with jackfield_live.connect(ann) as one:
        assert one.call("whoami") == str(ann.pk)


def test_without_a_binary_it_is_skipped(pytester_free, monkeypatch):
    monkeypatch.setenv("JACKFIELD_BIN", "/nowhere/jackfield")
    assert live.binary() is None
    with pytest.raises(live.NoBinary, match="JACKFIELD_BIN"):
        live.LiveServer().__enter__()


@pytest.fixture
def pytester_free():
    """Nothing of the setting is touched where the start fails."""
    from django_jackfield import brokers

    before = brokers["default"].config
    yield
    assert brokers["default"].config == before
