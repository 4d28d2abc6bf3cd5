"""Each line of docs/api.md that can be copied is copied, and answers what the page says it does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from typing import Any

from serving import ROOT, Lines, Server
from speakers import SECRET, joined

KEY = "the-key-of-the-tests"
CONFIG = f"""
[client.token]
hmac_secret_key = "{SECRET}"

[[channel.namespaces]]
name = "room"
presence = true
history_size = 100
history_ttl = "5m"
allow_subscribe_for_client = true

[[channel.namespaces]]
name = "scores"
subscription_type = "map"

[channel.namespaces.map]
mode = "recoverable"
stream_size = 100
stream_ttl = "5m"
"""
EXAMPLE = re.compile(r"```sh\n(curl .*?)\n```\n\n```json\n(.*?)\n```", re.DOTALL)
# Objects whose keys are names: one value stands for all.
NAMED = ("presence", "channels", "connections")


def examples() -> list[tuple[str, Any]]:
    text = (ROOT / "docs" / "api.md").read_text()
    return [(line, json.loads(answer)) for line, answer in EXAMPLE.findall(text)]


def alike(said: Any, got: Any, at: str = "") -> None:
    """The same keys and types; values differ from day to day."""
    assert isinstance(got, type(said)), (at, said, got)
    if isinstance(said, dict) and at.rpartition(".")[2] in NAMED:
        for one in got.values():
            alike(next(iter(said.values())), one, at + ".*")
    elif isinstance(said, dict):
        assert set(got) == set(said), (at, said, got)
        for key, value in said.items():
            alike(value, got[key], f"{at}.{key}")
    elif isinstance(said, list) and said:
        assert len(got) == len(said), (at, said, got)
        for one, other in zip(said, got, strict=True):
            alike(one, other, at + "[]")


def answer(client: Lines) -> None:
    """Answers the next question that the client is asked."""
    while "call" not in (push := client.push()).get("message", {}).get("data", {}):
        pass
    said = {"call": push["message"]["data"]["call"], "data": {"x": 1}}
    client.command(rpc={"method": "jackfield.answer", "data": said})


def test_every_line_does_what_the_page_says() -> None:
    found = examples()
    with Server(CONFIG, workers=1, sets=(f"http_api.key={KEY}",)) as server:
        clients = [joined(server, "room:1", user) for user in ("42", "43", "44")]
        for line, said in found:
            command = line.replace("http://127.0.0.1:8401", f"http://127.0.0.1:{server.internal}")
            environment = {**os.environ, "JACKFIELD_API_KEY": KEY}
            if "/api/call " in line:
                threading.Thread(target=answer, args=(clients[0],), daemon=True).start()
            ran = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, timeout=60, check=True)
            alike(said, json.loads(ran.stdout), line.split("/api/")[-1].split()[0])
        for client in clients:
            client.close()


def test_no_method_is_without_an_example() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    shown = {line.split("/api/")[1].split()[0] for line, _ in examples() if "/api/" in line}
    assert shown == {path.strip("/") for path in document["paths"]}
