"""The application of these tests: lets everybody in, and keeps the updates of documents, over the embedded queue."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import redis

STREAMS = {"{jackfield:%d}:events" % n: ">" for n in range(8)}
LOAD, SAVE = "jackfield.document.load", "jackfield.document.save"


class Store:
    """Answers the server, also one that was killed and has come back with an empty queue."""

    def __init__(self, port: int, readers: tuple[str, ...] = ()):
        self.redis = redis.Redis(port=port, protocol=2, decode_responses=True, socket_timeout=30)
        self.readers = readers
        self.rows: dict[str, dict[int, str]] = {}
        self.loads = self.saves = self.replaced = self.refused = 0
        self.fault: dict[str, Any] | None = None
        """The error that saves are answered with, where they are to fail."""
        self.ending = threading.Event()

    def __enter__(self) -> Store:
        self.join()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self.thread.join(10)
        self.redis.close()

    def put(self, channel: str, updates: list[str]) -> None:
        """Stores updates (base64) as if they had been saved."""
        self.rows[channel] = dict(enumerate(updates, 1))

    def join(self) -> None:
        for stream in STREAMS:
            with contextlib.suppress(redis.ResponseError):
                self.redis.xgroup_create(stream, "app", "0", mkstream=True)

    def work(self) -> None:
        while not self.ending.is_set():
            try:
                self.read()
            except redis.ConnectionError:
                self.ending.wait(0.05)
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                with contextlib.suppress(redis.ConnectionError):
                    self.join()

    def read(self) -> None:
        for stream, entries in self.redis.xreadgroup("app", "tests", STREAMS, count=100, block=200) or []:
            for number, event in entries:
                if event.get("call"):
                    is_refused = self.fault and event.get("event") == SAVE
                    self.refused += bool(is_refused)
                    said = {"error": self.fault} if is_refused else {"result": self.answer(event)}
                    answer = {"v": 1, "id": event["id"], **said}
                    self.redis.rpush(event["reply_to"], json.dumps(answer))
                self.redis.xack(stream, "app", number)
                self.redis.xdel(stream, number)

    def answer(self, event: dict[str, str]) -> dict[str, Any]:
        if event["type"] == "subscribe":
            return {"override": {"publish": {"value": event["user"] not in self.readers}}}
        assert not event.get("client") and not event.get("user"), event
        data = json.loads(event["data"])
        rows = self.rows.setdefault(data["channel"], {})
        if event["event"] == LOAD:
            self.loads += 1
            return {"data": {"updates": list(rows.values()), "upto": list(rows)}}
        assert event["event"] == SAVE, event
        self.saves += 1
        for row in data["replaces"] or ():
            self.replaced += rows.pop(row, None) is not None
        rows[max(rows, default=0) + self.saves] = data["update"]
        return {"data": {}}
