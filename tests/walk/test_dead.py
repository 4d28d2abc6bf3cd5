"""`jackfield dead`: dead letters from the command line of the server."""

from __future__ import annotations

import json
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import BINARY, wait_for
from stage import PARTITIONS, Stage
from test_poison import RabbitDoor, RedisDoor

NOWHERE = "nowhere:1"
NAMESPACE = """
[[channel.namespaces]]
name = "nowhere"
allow_subscribe_for_client = true
"""


def dead(stage: Stage, *words: str, code: int = 0) -> str:
    """What the command says."""
    config = str(Path(stage.server.folder.name) / "jackfield.toml")
    command = [str(BINARY), "dead", *words, "-c", config, "--set", f"embedded.port={stage.server.embedded}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def letters(stage: Stage) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in map(json.loads, dead(stage, "list", "--json").splitlines())}


@pytest.mark.parametrize("kind", ["embedded", "redis", "rabbitmq"])
def test_dead_letters_are_looked_at_put_back_and_thrown_away(kind: str, make_stage: Callable[[str], Stage]) -> None:
    stage = make_stage(kind)
    client = stage.websocket("1").join("room:1")
    # The server declares what the queue needs with its first read.
    stage.django("jackfield", "publish", "room:1", "0")
    wait_for(lambda: client.heard(), "the first publication")
    assert "no dead letters in" in dead(stage, "list")
    door = (RabbitDoor if kind == "rabbitmq" else RedisDoor)(stage)
    partition = zlib.crc32(NOWHERE.encode()) % PARTITIONS
    try:
        door.put(partition, "lost-1", "publish", json.dumps({"channel": NOWHERE, "data": 1}).encode())
        door.put(partition, "lost-2", "publish", json.dumps({"channel": NOWHERE, "data": 2}).encode())
        door.put(partition, "evil\x1b[2J", "explode", b"{}")
        wait_for(lambda: len(letters(stage)) == 3, "three dead letters")
    finally:
        door.close()
    found = letters(stage)
    assert {id: one["reason"] for id, one in found.items()} == {one["id"]: one["reason"] for one in stage.dead()}
    lost = found["lost-1"]
    assert (lost["queue"], lost["partition"], lost["type"], lost["channel"]) == ("commands", partition, "publish", NOWHERE)
    table = dead(stage, "list")
    assert "lost-1" in table and "its namespace is not configured" in table and "\x1b" not in table
    assert len(dead(stage, "list", "--id", "lost-2").splitlines()) == 2

    assert "which ones?" in dead(stage, "replay", code=1)
    assert "--yes" in dead(stage, "drop", "--all", code=1)
    assert "no dead letter has the id other" in dead(stage, "drop", "--id", "other", code=1)
    assert dead(stage, "replay", "--id", "lost-1").startswith("1 kept")
    assert set(letters(stage)) == set(found)
    assert dead(stage, "drop", "--reason", "explode") == "1 dropped\n"
    assert set(letters(stage)) == {"lost-1", "lost-2"}

    if kind != "embedded":
        # What was wrong is mended, and what was lost arrives after all. The embedded queue would end with its server.
        assert stage.server.stop() == 0
        stage.server.config += NAMESPACE
        stage.server.start()
        client = stage.websocket("2").join(NOWHERE)
        assert dead(stage, "replay", "--all", "--new-id") == "2 replayed\n"
        wait_for(lambda: len(client.heard(NOWHERE)) == 2, "what was put back")
        assert client.heard(NOWHERE) == [1, 2]
    else:
        assert dead(stage, "drop", "--all", "--yes") == "2 dropped\n"
    assert "no dead letters in" in dead(stage, "list")
    assert stage.dead() == []
