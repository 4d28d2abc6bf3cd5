"""What the application hears of channels and users: by real sockets, in a real Redis."""

from __future__ import annotations

from typing import Any

from serving import wait_for
from stage import Stage
from test_ends import command, of_redis

OPTIONS = """
[client.subscribe_to_user_personal_channel]
enabled = true
personal_channel_namespace = "chat"

[http_api]
key = "test-key"
"""
EVENTS = ("connect", "disconnect", "message", "subscribe", "unsubscribe", "occupied", "vacated", "undelivered")


def test_channels_and_users_are_told_of(pool: Any) -> None:
    with Stage("redis", pool.get("redis"), OPTIONS) as stage:
        stage.server.stop()
        names = ",".join(EVENTS)
        stage.server.sets = (f"app_link.events={names}", "app_link.vacated_delay=300ms")
        stage.server.start()

        def told(*kinds: str) -> list[tuple[str, str]]:
            of = sorted(of_redis(stage), key=lambda event: int(event["time"]))
            return [(event["type"], event.get("channel", "")) for event in of if event["type"] in kinds]

        first, second = stage.websocket("1").join("room:1"), stage.lines("2").join("room:1")
        first.close()
        wait_for(lambda: ("disconnect", "") in told("disconnect"), "the first end")
        second.close()
        wait_for(lambda: len(told("vacated")) == 3, "three empty channels")
        mine, yours = "chat:#1", "chat:#2"
        assert set(told("occupied", "vacated")) == {
            (kind, channel) for kind in ("occupied", "vacated") for channel in (mine, yours, "room:1")
        }
        assert [one for one in told("occupied", "vacated") if one[1] == "room:1"] == [
            ("occupied", "room:1"),
            ("vacated", "room:1"),
        ]
        for client, own in ((first, mine), (second, yours)):
            heard = [event for event in of_redis(stage) if event.get("client") == client.id]
            assert [(event["type"], event.get("channel", ""), event["seq"]) for event in heard] == [
                ("connect", "", "1"),
                ("subscribe", own, "2"),
                ("subscribe", "room:1", "3"),
                ("unsubscribe", own, "4"),
                ("unsubscribe", "room:1", "5"),
                ("disconnect", "", "6"),
            ]
        command(stage, "send", user="1", data={"n": 1})
        command(stage, "publish", channel=mine, data={"n": 2})
        with stage.websocket("2"):
            command(stage, "send", user="2", data={"n": 3})
        missed = wait_for(lambda: len(told("undelivered")) == 2 and told("undelivered"), "what found nobody")
        # A user's command and a channel's may lie in two partitions, which have no order between them.
        assert sorted(missed) == [("undelivered", ""), ("undelivered", mine)]
