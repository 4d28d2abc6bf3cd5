"""The main job: Django to clients, clients to Django, on each queue."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from serving import wait_for
from stage import Stage


@pytest.fixture(autouse=True)
def leave_nobody_behind(life: Stage) -> Any:
    yield
    while life.clients:
        life.clients.pop().close()


def word() -> str:
    """A text that was never said before."""
    return uuid.uuid4().hex


def test_publications_of_django_reach_every_kind_of_client(life: Stage) -> None:
    everyone = [
        life.websocket("1").join("room:1"),
        life.lines("2").join("room:1"),
        life.raw_websocket(),
        life.raw_lines(),
    ]
    wait_for(lambda: life.call("presence_stats", channel="room:1")["num_clients"] == 4, "four in the room")
    from_shell, from_view = word(), word()
    told = {"event": "said", "data": {"text": from_shell}}
    life.django("shell", "-c", f"from django_jackfield import publish; publish('room:1', {told!r})")
    life.view(1, text=word(), fail="1")  # Rolled back: nobody hears of it.
    life.view(1, text=from_view)
    expected = [told, {"event": "said", "data": {"text": from_view}}]
    for client in everyone[:2]:
        wait_for(lambda client=client: len(client.heard()) >= 2, "both publications")
        assert client.heard() == expected
        offsets = [publication["offset"] for publication in client.publications["room:1"]]
        assert offsets[1] == offsets[0] + 1
    for client in everyone[2:]:
        wait_for(lambda client=client: len(client.texts) >= 2, "both publications")
        assert [json.loads(text) for text in client.texts] == expected


def test_text_and_bytes_keep_their_form(life: Stage) -> None:
    client, raw = life.websocket("1").join("room:1"), life.raw_websocket()
    wait_for(lambda: life.call("presence_stats", channel="room:1")["num_clients"] == 2, "two in the room")
    life.call("publish", channel="room:1", text="näh \"x\"")
    life.django("shell", "-c", "from django_jackfield import publish; publish('room:1', b'abc')")
    wait_for(lambda: len(client.heard()) == 2 and len(raw.texts) == 2, "text and bytes")
    assert client.heard() == ['näh "x"', "YWJj"]
    assert raw.texts == ['näh "x"', "abc"]


def test_django_sends_to_a_user(life: Stage) -> None:
    two = [life.websocket("11"), life.lines("11")]
    other = life.websocket("12")
    life.call("send", user="11", data={"n": 3})
    for client in two:
        wait_for(lambda client=client: client.messages, "the message")
        assert client.messages == [{"n": 3}]
    life.call("send", user="12", text="for you")
    wait_for(lambda: other.messages, "the other's message")
    assert other.messages == ["for you"]


def test_django_disconnects_a_user_and_a_client(life: Stage) -> None:
    socket, lines, stays = life.websocket("21"), life.lines("21"), life.websocket("22")
    life.call("disconnect", user="21", code=4501, reason="signed out")
    assert socket.gone() == (4501, "signed out")
    lines.gone()
    assert lines.disconnect == {"code": 4501, "reason": "signed out"}
    again = life.websocket("22")
    life.call("disconnect", client=again.id)
    assert again.gone()[0] == 3503
    stays.done(ping={})


def test_django_asks_for_presence_and_history(life: Stage) -> None:
    room = "room:31"
    one, two = life.websocket("1").join(room), life.lines("2").join(room)
    three = life.websocket("2").join(room)
    members = life.call("presence", channel=room)
    assert {(client, who["user"]) for client, who in members.items()} == {
        (one.id, "1"),
        (two.id, "2"),
        (three.id, "2"),
    }
    assert life.call("presence_stats", channel=room) == {"num_clients": 3, "num_users": 2}
    three.close()
    wait_for(lambda: life.call("presence_stats", channel=room)["num_clients"] == 2, "the leave")
    for number in range(5):
        life.call("publish", channel=room, data=number, tags={"n": str(number)})
    wait_for(lambda: len(two.heard(room)) == 5, "five publications")
    page = life.call("history", channel=room)
    assert [(one["offset"], one["data"], one["tags"]) for one in page["publications"]] == [
        (number + 1, number, {"n": str(number)}) for number in range(5)
    ]
    since = {"offset": 2, "epoch": page["epoch"]}
    rest = life.call("history", channel=room, limit=2, since=since)
    assert [one["data"] for one in rest["publications"]] == [2, 3]
    latest = life.call("history", channel=room, limit=1, reverse=True)
    assert [one["data"] for one in latest["publications"]] == [4]
    assert life.call("history", channel=room, limit=0)["offset"] == 5
    assert life.call("presence", channel="chat:1") == {"error": 108}
    assert life.call("history", channel="nowhere:1") == {"error": 102}


def test_django_broadcasts(life: Stage) -> None:
    rooms = ["room:41", "room:42", "chat:43"]
    clients = [life.websocket("1").join(room) for room in rooms]
    life.call("publish", channel=rooms, data="to all")
    for room, client in zip(rooms, clients, strict=True):
        wait_for(lambda room=room, client=client: client.heard(room), "the broadcast")
        assert client.heard(room) == ["to all"]


def test_what_a_client_says_is_handled_stored_and_published(life: Stage) -> None:
    speaker, listener = life.websocket("51").join("room:1"), life.lines("52").join("room:1")
    raw = life.raw_websocket()
    text = word()
    speaker.say(text)
    said = {"event": "said", "data": {"text": text, "user": "51", "room": 1}}
    for client in (speaker, listener):
        wait_for(lambda client=client: client.heard(), "what was said")
        assert client.heard() == [said]
    wait_for(lambda: raw.texts, "what was said")
    assert json.loads(raw.texts[0]) == said
    assert life.rows("select user, times from rooms_note where text = ?", text) == [("51", 1)]


def test_what_plain_clients_say_is_handled(life: Stage) -> None:
    first, second = word(), word()
    life.raw_websocket().say(first)
    life.raw_lines().say(json.dumps({"text": second}))
    for text in (first, second):
        wait_for(lambda text=text: life.rows("select 1 from rooms_note where text = ?", text), "a plain note")


def test_clients_call_functions(life: Stage) -> None:
    for client in (life.websocket("61"), life.lines("61")):
        def rpc(method: str, data: Any, client: Any = client) -> Any:
            return client.call(rpc={"method": method, "data": data})

        assert rpc("add", {"a": 2, "b": 3})["rpc"] == {"data": {"sum": 5, "user": "61"}}
        assert rpc("fail", {})["error"] == {"code": 451, "message": "not here"}
        broken = rpc("break", {})["error"]
        assert broken["code"] == 100 and broken["temporary"] and "secret" not in broken["message"]
        assert rpc("nothing", {})["error"]["code"] == 104
        assert rpc("add", {"a": 2})["error"]["code"] == 107
        futures = [client.request(rpc={"method": "add", "data": {"a": n, "b": 1}}) for n in range(20)]
        assert [future.result(30)["rpc"]["data"]["sum"] for future in futures] == list(range(1, 21))


def test_the_app_decides_who_comes_without_a_token(life: Stage) -> None:
    for come in (life.websocket, life.lines):
        guest = come(data={"word": "sesame"})
        assert guest.hello["connect"]["data"] == {"hello": "guest"}
        guest.join("room:71")
        assert life.call("presence", channel="room:71")[guest.id] == {
            "user": "guest-7",
            "client": guest.id,
            "conn_info": {"name": "Guest"},
        }
        guest.close()
        wait_for(lambda: life.call("presence_stats", channel="room:71")["num_clients"] == 0, "the leave")
    with pytest.raises(ConnectionError, match="3507"):
        life.websocket(data={"word": "abracadabra"})


def test_notices_come_in_order(life: Stage) -> None:
    clients = life.crowd(10)
    texts = {client.id: [word() for _ in range(5)] for client in clients}
    for number in range(5):
        for client in clients:
            client.say(texts[client.id][number], "room:81")
    for client in clients:
        client.close()
    for client in clients:
        query = "select kind, seq, detail from rooms_heard where client = ? order by id"
        wait_for(lambda client=client: len(life.rows(query, client.id)) >= 7, "seven events")
        rows = life.rows(query, client.id)
        assert [row[:2] for row in rows] == [
            ("connect", 1),
            *(("message", 2 + number) for number in range(5)),
            ("disconnect", 7),
        ]
        assert [json.loads(row[2])["text"] for row in rows[1:6]] == texts[client.id]
        assert json.loads(rows[6][2])["code"] >= 3000


def test_a_token_of_django_is_good(life: Stage) -> None:
    made = life.call("token", request_or_user="91", info={"name": "Ann"})
    client = life.websocket(token=made).join("room:91")
    assert life.call("presence", channel="room:91")[client.id]["conn_info"] == {"name": "Ann"}
    assert client.hello["connect"]["ttl"] > 200


def test_nothing_died(life: Stage) -> None:
    assert life.dead() == []
