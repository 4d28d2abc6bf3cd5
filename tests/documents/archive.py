"""An application that stores documents: it answers the two calls of the server, over Redis or the embedded queue."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import redis

STREAMS = {"{jackfield:%d}:events" % n: ">" for n in range(8)}


class Archive(threading.Thread):
    """Stores what it is told in memory; it outlives servers that are killed."""

    def __init__(self, port: int):
        super().__init__(daemon=True)
        self.port = port
        self.rows: dict[str, list[str]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fault: dict[str, Any] | None = None
        """What saves are answered with, where they are to fail."""
        self.over = threading.Event()

    def __enter__(self) -> Archive:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join(30)

    def run(self) -> None:
        while not self.over.is_set():
            # A server that is killed takes its queue with it.
            with contextlib.suppress(redis.RedisError), self.connected() as connection:
                while not self.over.is_set():
                    self.work(connection)
            self.over.wait(0.05)

    def connected(self) -> redis.Redis:
        connection = redis.Redis(port=self.port, protocol=2, decode_responses=True, socket_timeout=30)
        for stream in STREAMS:
            with contextlib.suppress(redis.ResponseError):
                connection.xgroup_create(stream, "app", "0", mkstream=True)
        return connection

    def work(self, connection: redis.Redis) -> None:
        for stream, entries in connection.xreadgroup("app", "tests", STREAMS, count=100, block=100) or []:
            for number, event in entries:
                if event.get("call"):
                    said = json.dumps({"v": 1, "id": event["id"], **self.answer(event)})
                    connection.rpush(event["reply_to"], said)
                connection.xack(stream, "app", number)
                connection.xdel(stream, number)

    def answer(self, event: dict[str, str]) -> dict[str, Any]:
        assert "client" not in event and "user" not in event, event
        data = json.loads(event["data"])
        assert event["channel"] == data["channel"]
        self.calls.append((event["event"], data))
        rows = self.rows.setdefault(data["channel"], [])
        if event["event"] == "jackfield.document.load":
            return {"result": {"data": {"updates": rows, "upto": len(rows)}}}
        if self.fault:
            return {"error": self.fault}
        if data["replaces"] is not None:
            del rows[: data["replaces"]]
        rows.append(data["update"])
        return {"result": {"data": {}}}

    def saves(self, channel: str) -> list[dict[str, Any]]:
        return [data for method, data in self.calls if method.endswith(".save") and data["channel"] == channel]
