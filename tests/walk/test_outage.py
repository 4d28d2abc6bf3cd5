"""The queue is not there when the server starts."""

from __future__ import annotations

import time
from typing import Any

import pytest
from serving import wait_for
from stage import Stage, plain_text


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_a_server_without_its_queue_serves_and_finds_it_later(kind: str, pool: Any) -> None:
    queue = pool.new(kind)
    with Stage(kind, queue) as stage:
        assert stage.server.healthy()
        wait_for(lambda: "cannot be read, retrying" in plain_text(stage.server.logged()), "a word in the log")
        assert str(queue.port) in stage.server.logged()
        assert "secret" not in stage.server.logged() and "guest" not in stage.server.logged()
        one, two = stage.websocket("1").join("chat:1"), stage.lines("2").join("chat:1", "room:1")
        one.done(publish={"channel": "chat:1", "data": "here I am"})
        wait_for(lambda: two.heard("chat:1"), "what the other said")
        slowest = 0.0
        for request in (
            {"rpc": {"method": "add", "data": {"a": 1, "b": 2}}},
            {"publish": {"channel": "room:1", "data": {"event": "say", "data": {"text": "lost"}}}},
            {"send": {"data": "lost"}},
        ):
            start = time.monotonic()
            error = one.call(**request)["error"]
            slowest = max(slowest, time.monotonic() - start)
            assert error["code"] == 111 and error["temporary"]
        assert slowest < 3

        queue.start()
        stage.worker()
        reply = wait_for(lambda: take(one, {"rpc": {"method": "add", "data": {"a": 1, "b": 2}}}), "an answer", 60)
        assert reply["rpc"]["data"]["sum"] == 3
        wait_for(lambda: take(one, {"publish": {"channel": "room:1", "data": say("back")}}), "a taken message")
        wait_for(lambda: two.heard(), "what the app publishes")
        assert two.heard()[0]["data"]["text"] == "back"
        # Notices were kept meanwhile.
        for client in (one, two):
            query = "select seq from rooms_heard where kind = 'connect' and client = ?"
            wait_for(lambda client=client: stage.rows(query, client.id) == [(1,)], "the notice of a connection")
        three = stage.websocket("3").join("chat:1")
        three.close()
        query = "select kind from rooms_heard where client = ? order by id"
        wait_for(lambda: len(stage.rows(query, three.id)) == 2, "both notices")
        assert "lost" not in {row[0] for row in stage.rows("select text from rooms_note")}
        stage.django("jackfield", "publish", "room:1", '"from the command line"')
        wait_for(lambda: "from the command line" in two.heard(), "a publication")
        assert stage.dead() == []


def say(text: str) -> dict[str, Any]:
    return {"event": "say", "data": {"text": text}}


def take(client: Any, request: dict[str, Any]) -> Any:
    """The reply, unless it is a temporary error."""
    reply = client.call(**request)
    if "error" in reply:
        assert reply["error"]["code"] in (100, 111) and reply["error"]["temporary"]
        return None
    return reply
