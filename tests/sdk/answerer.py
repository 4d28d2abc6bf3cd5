"""A worker of the application that answers every call with the data of the call, over the embedded queue."""

from __future__ import annotations

import contextlib
import json
import threading

import redis

STREAMS = {"{jackfield:%d}:events" % n: ">" for n in range(8)}


class Answerer:
    def __init__(self, port: int):
        self.redis = redis.Redis(port=port, protocol=2, decode_responses=True, socket_timeout=30)
        self.ending = threading.Event()

    def __enter__(self) -> Answerer:
        for stream in STREAMS:
            with contextlib.suppress(redis.ResponseError):
                self.redis.xgroup_create(stream, "app", "0", mkstream=True)
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self.thread.join(10)
        self.redis.close()

    def work(self) -> None:
        while not self.ending.is_set():
            for stream, entries in self.redis.xreadgroup("app", "tests", STREAMS, count=100, block=200) or []:
                for number, event in entries:
                    if event.get("call"):
                        self.answer(event)
                    self.redis.xack(stream, "app", number)
                    self.redis.xdel(stream, number)

    def answer(self, event: dict[str, str]) -> None:
        answer: dict[str, object] = {"v": 1, "id": event["id"]}
        if event.get("event") == "fail":
            answer["error"] = {"code": 444, "message": "as asked"}
        else:
            answer["result"] = {"data": json.loads(event["data"])}
        self.redis.rpush(event["reply_to"], json.dumps(answer))
