"""What programs publish that know nothing of Jackfield arrives at its clients, and nothing of it is lost by a kill."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Server, wait_for

HERE = Path(__file__).parent
TICKS = """
[client]
allow_anonymous_connect_without_token = true
allowed_origins = ["*"]
history_max_publication_limit = 100000

[http_api]
insecure = true

[prometheus]
enabled = true

[[channel.namespaces]]
name = "ticks"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
history_size = 100000
history_ttl = "1h"
"""


def five_lines(rabbitmq: Any, exchange: str) -> str:
    return f"""
[[source]]
url = "{rabbitmq.url}"
exchange = "{exchange}"
routing_key = "eu.#"
channel = "ticks:{{routing_key}}"
"""


def metric(server: Server, line: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.internal}/metrics", timeout=10) as answer:
        found = re.search(rf"^{re.escape(line)} (\S+)$", answer.read().decode(), re.M)
    return float(found[1]) if found else -1.0


def is_up(server: Server, source: str) -> bool:
    return metric(server, f'jackfield_source_up{{source="{source}"}}') == 1.0


def history(server: Server, channel: str) -> list[int]:
    body = json.dumps({"channel": channel, "limit": -1}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.internal}/api/history", body)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [one["data"]["tick"] for one in json.load(answer)["result"]["publications"]]


def ticker(rabbitmq: Any, exchange: str, key: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "ticker.py"), rabbitmq.url, exchange, key, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_page_shows_what_a_program_publishes_that_knows_only_rabbitmq(rabbitmq: Any) -> None:
    # The exchange is there before the server, as it is where somebody else has it.
    assert ticker(rabbitmq, "shown", "eu.early", 1).wait(60) == 0
    with Server(TICKS + five_lines(rabbitmq, "shown")) as server:
        wait_for(lambda: is_up(server, "shown"), f"the source\n{server.logged()}")
        command = ["node", str(HERE / "page.mjs"), server.url, "ticks:eu.fr", "20"]
        page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert page.stdout
        try:
            first = page.stdout.readline().strip()
            if first != "ready":
                assert page.wait(30) == 3, first
                pytest.skip(first)
            assert ticker(rabbitmq, "shown", "us.ny", 3).wait(60) == 0
            assert ticker(rabbitmq, "shown", "eu.fr", 20).wait(60) == 0
            shown = [json.loads(text)["tick"] for text in json.loads(page.stdout.readline())]
            assert shown == list(range(20))
            assert page.wait(60) == 0
        finally:
            page.kill()
        assert metric(server, 'jackfield_source_messages_total{source="shown",result="published"}') == 20.0


def test_kill_9_of_the_server_loses_nothing_of_a_durable_queue(
    rabbitmq: Any, tmp_path: Path, say: Callable[[str], None]
) -> None:
    count = 6000
    durable = TICKS.replace('name = "ticks"', 'name = "ticks"\ndurable = true')
    durable += f'\n[history]\npath = "{tmp_path}/log"\nfsync = "always"\n'
    server = Server(durable + five_lines(rabbitmq, "lasting") + 'queue = "lasting-ticks"\n')
    confirmed: list[int] = []
    program = ticker(rabbitmq, "lasting", "eu.lasting", 0)
    assert program.wait(60) == 0
    try:
        server.start()
        wait_for(lambda: is_up(server, "lasting-ticks"), f"the source\n{server.logged()}")
        program = ticker(rabbitmq, "lasting", "eu.lasting", count)
        assert program.stdout
        reading = threading.Thread(target=lambda: confirmed.extend(int(line) for line in program.stdout or ()))
        reading.start()
        for part in (1, 2, 3):
            wait_for(lambda part=part: len(history(server, "ticks:eu.lasting")) > part * count // 10, "some ticks", 120)
            assert server.process
            server.process.kill()
            server.process.wait(20)
            server.log.close()
            server.start()
        assert program.wait(120) == 0
        reading.join(30)
        assert confirmed == list(range(count))
        wait_for(lambda: set(history(server, "ticks:eu.lasting")) == set(range(count)), "every tick", 120)
        found = history(server, "ticks:eu.lasting")
        first = list(dict.fromkeys(found))
        assert first == sorted(first), "the first of each come in order"
        say(f"kill -9 three times: {count} ticks, none lost, {len(found) - count} doubles")
    finally:
        server.__exit__()
        if program.poll() is None:
            program.kill()


def test_a_source_that_cannot_be_is_refused_with_all_its_faults(tmp_path: Path) -> None:
    from serving import BINARY

    path = tmp_path / "jackfield.toml"
    path.write_text('[[source]]\nurl = "kafka://u:hunter2@h"\nchannel = "a"\nexchang = "b"\n[[sink]]\nurl = "https://10.0.0.1/"\nchannels = []\n')
    done = subprocess.run([str(BINARY), "check", "-c", str(path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "did you mean `exchange`?" in done.stderr and "hunter2" not in done.stderr
    path.write_text(path.read_text().replace("exchang ", "exchange "))
    done = subprocess.run([str(BINARY), "check", "-c", str(path)], capture_output=True, text=True, timeout=30)
    for fault in ("jackfield.toml:2: source[0].url:", "jackfield.toml:6: sink[0].url:", "jackfield.toml:7: sink[0].channels:"):
        assert fault in done.stderr, done.stderr
