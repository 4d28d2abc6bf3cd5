"""Commands that cannot be done go to the dead letters, and the next goes on."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from serving import wait_for
from stage import PARTITIONS, Stage

CHANNEL = "room:1"
GOOD = json.dumps({"channel": CHANNEL, "data": 1}).encode()
POISON = [
    # id, method (None: no such field), payload, words of the reason
    ("no-json", "publish", b"\xff\x00 not json", "is no JSON object: it is no UTF-8"),
    ("half-json", "publish", b'{"channel": "room:1", ', "is no JSON object"),
    ("no-object", "publish", b'["room:1", 1]', "JSON object is needed"),
    ("empty", "publish", b"", "empty"),
    ("no-method", None, GOOD, "method is missing"),
    ("empty-method", "", GOOD, "method is missing"),
    ("unknown-method", "explode", GOOD, "explode"),
    ("unknown-key", "publish", b'{"chanel": "room:1", "data": 1}', "chanel"),
    ("no-namespace", "publish", b'{"channel": "nowhere:1", "data": 1}', "nowhere"),
    ("too-large", "publish", json.dumps({"channel": CHANNEL, "data": "x" * (1 << 20)}).encode(), "max_payload_bytes"),
]


class RedisDoor:
    """Writes what no good client would."""

    def __init__(self, stage: Stage):
        import redis

        url = stage.queue.url if stage.queue else f"redis://127.0.0.1:{stage.server.embedded}/0"
        self.client = redis.Redis.from_url(url, protocol=2)
        self.prefix = stage.prefix

    def put(self, partition: int, id: str, method: str | None, payload: bytes) -> None:
        fields: Any = {"v": "1", "id": id, "payload": payload}
        if method is not None:
            fields["method"] = method
        self.client.xadd(self._key(partition), fields)

    def put_nonsense(self, partition: int) -> None:
        self.client.xadd(self._key(partition), {"a": "b"})

    def left(self) -> int:
        return sum(self.client.xlen(self._key(partition)) for partition in range(PARTITIONS))

    def _key(self, partition: int) -> str:
        return f"{{{self.prefix}:{partition}}}:commands"

    def close(self) -> None:
        self.client.close()


class RabbitDoor:
    """The same for RabbitMQ."""

    def __init__(self, stage: Stage):
        import pika

        self.connection = pika.BlockingConnection(pika.URLParameters(stage.queue.url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.prefix = stage.prefix

    def put(self, partition: int, id: str, method: str | None, payload: bytes) -> None:
        import pika

        properties = pika.BasicProperties(message_id=id, type=method, delivery_mode=2)
        self.channel.basic_publish(f"{self.prefix}.commands", str(partition), payload, properties, mandatory=True)

    def put_nonsense(self, partition: int) -> None:
        self.channel.basic_publish(f"{self.prefix}.commands", str(partition), b"", mandatory=True)

    def left(self) -> int:
        counts = [
            self.channel.queue_declare(f"{self.prefix}.commands.{partition}", passive=True)
            for partition in range(PARTITIONS)
        ]
        return sum(count.method.message_count for count in counts)

    def close(self) -> None:
        self.connection.close()


@pytest.mark.parametrize("kind", ["embedded", "redis", "rabbitmq"])
def test_poison_goes_to_the_dead_letters(kind: str, make_stage: Callable[[str], Stage]) -> None:
    stage = make_stage(kind)
    client = stage.websocket("1").join(CHANNEL)
    # The server declares what the queue needs with its first read.
    stage.django("jackfield", "publish", CHANNEL, "0")
    wait_for(lambda: client.heard(), "the first publication")
    door = (RabbitDoor if kind == "rabbitmq" else RedisDoor)(stage)
    partition = zlib.crc32(CHANNEL.encode()) % PARTITIONS
    try:
        for number, (name, method, payload, _) in enumerate(POISON):
            door.put(partition, name, method, payload)
            good = json.dumps({"channel": CHANNEL, "data": number + 1}).encode()
            door.put(partition, f"good-{number}", "publish", good)
        door.put_nonsense(partition)
        door.put(partition, "last", "publish", json.dumps({"channel": CHANNEL, "data": "last"}).encode())
        wait_for(lambda: "last" in client.heard(), "what came after the poison")
        assert client.heard() == [*range(len(POISON) + 1), "last"]
        wait_for(lambda: door.left() == 0, "an empty queue")
    finally:
        door.close()
    letters = stage.dead()
    assert len(letters) == len(POISON) + 1, letters
    reasons = {letter["id"]: letter["reason"] for letter in letters if letter.get("id")}
    for name, _, _, words in POISON:
        assert words in reasons[name], (name, reasons[name])
    nonsense = [letter for letter in letters if not letter.get("id")]
    assert len(nonsense) == 1 and nonsense[0]["reason"]
    assert stage.server.healthy()
