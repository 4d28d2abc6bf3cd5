"""Webhooks through an outage, verified by the public library, and addresses that must not be asked."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import BINARY, Server, free_port, wait_for
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from test_sources import metric

OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ORDERS = """
[client]
allow_anonymous_connect_without_token = true

[http_api]
insecure = true

[prometheus]
enabled = true

[[channel.namespaces]]
name = "orders"
history_size = 10
history_ttl = "1h"

[[channel.namespaces]]
name = "other"
"""


def publish(server: Server, channel: str, data: Any) -> None:
    body = json.dumps({"channel": channel, "data": data}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.internal}/api/publish", body)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert "error" not in json.load(answer)


def count(server: Server, result: str) -> float:
    return metric(server, f'jackfield_sink_publications_total{{sink="shop",result="{result}"}}')


def test_a_webhook_retries_through_an_outage_and_its_signature_verifies(
    receivers: Callable[..., Any], say: Callable[[str], None]
) -> None:
    port, total = free_port(), 300
    receiver = receivers(port, answer=lambda nth: 500 if nth < 40 else 200)
    sink = f"""
[[sink]]
name = "shop"
channels = ["orders:*"]
url = "http://127.0.0.1:{port}/hooks"
allow_private = true
secret = "{NEW} {OLD}"
retry = [{', '.join(['"100ms"'] * 200)}]
"""
    with Server(ORDERS + sink) as server:
        for number in range(total // 2):
            publish(server, f"orders:{number % 7}", {"number": number})
        publish(server, "other:1", {"number": -1})
        # Nobody is there.
        wait_for(lambda: metric(server, 'jackfield_sink_failures_total{sink="shop"}') >= 14, "failures")
        assert metric(server, 'jackfield_sink_up{sink="shop"}') == 0.0
        # It is broken, then it works.
        receiver.start()
        for number in range(total // 2, total):
            publish(server, f"orders:{number % 7}", {"number": number})
        wait_for(lambda: count(server, "delivered") == total, "all of them", 120)
        failures = metric(server, 'jackfield_sink_failures_total{sink="shop"}')
        assert count(server, "given_up") == count(server, "overflowed") == 0.0
        assert metric(server, 'jackfield_sink_waiting{sink="shop"}') == 0.0
        assert "the receiver takes publications again" in server.logged()
        assert OLD not in server.logged() and NEW not in server.logged()
    order: dict[str, list[int]] = {}
    ids = set()
    for headers, body in receiver.taken():
        for secret in (OLD, NEW):
            event = Webhook(secret).verify(body, headers)
        assert event["specversion"] == "1.0" and event["type"] == "jackfield.publication"
        assert event["id"] == headers["webhook-id"]
        ids.add(event["id"])
        order.setdefault(event["subject"], []).append(event["data"]["number"])
    assert len(ids) == total
    for channel, numbers in order.items():
        assert numbers == [number for number in range(total) if number % 7 == int(channel[-1])]
    headers, body = receiver.taken()[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body + b" ", headers)
    say(f"webhook through an outage: {total} publications, {failures:.0f} failed attempts, each once and in order")


def test_what_is_given_up_is_in_the_dead_letters(receivers: Callable[..., Any], tmp_path: Path) -> None:
    port, dead = free_port(), tmp_path / "dead.jsonl"
    receivers(port, answer=lambda nth: 422).start()
    sink = f"""
[[sink]]
name = "shop"
channels = ["orders:*"]
url = "http://127.0.0.1:{port}/"
allow_private = true
retry = ["10ms"]
dead_letters = "{dead}"
"""
    with Server(ORDERS + sink) as server:
        publish(server, "orders:1", {"number": 1})
        wait_for(lambda: count(server, "given_up") == 1, "the end of it")
    [letter] = [json.loads(line) for line in dead.read_text().splitlines()]
    assert (letter["attempts"], letter["reason"]) == (2, "the status is 422")
    assert letter["event"]["data"] == {"number": 1}


HOSTILE = [
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "2130706433",
    "0177.0.0.1",
    "0.0.0.0",
    "localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "224.0.0.1",
    "255.255.255.255",
]


def test_addresses_that_are_not_the_internet_are_not_asked(receivers: Callable[..., Any], tmp_path: Path) -> None:
    port = free_port()
    receiver = receivers(port).start()
    sinks = "".join(
        f'[[sink]]\nname = "s{n}"\nchannels = ["orders:*"]\nurl = "http://{host}:{port}/"\nretry = []\n'
        for n, host in enumerate(HOSTILE)
    )
    path = tmp_path / "jackfield.toml"
    path.write_text(ORDERS + sinks)
    done = subprocess.run([str(BINARY), "check", "-c", str(path)], capture_output=True, text=True, timeout=30)
    refused = {n for n in range(len(HOSTILE)) if f"sink[{n}].url: is no address of the internet" in done.stderr}
    # What only a resolver takes for an address is refused when it is to be asked.
    hidden = [host for n, host in enumerate(HOSTILE) if n not in refused]
    assert hidden == ["127.1", "0x7f.1", "2130706433", "0177.0.0.1"]
    sinks = "".join(
        f'[[sink]]\nname = "s{n}"\nchannels = ["orders:*"]\nurl = "http://{host}:{port}/"\nretry = []\n'
        for n, host in enumerate(hidden)
    )
    with Server(ORDERS + sinks) as server:
        publish(server, "orders:1", 1)
        for n in range(len(hidden)):
            line = f'jackfield_sink_publications_total{{sink="s{n}",result="given_up"}}'
            wait_for(lambda line=line: metric(server, line) == 1.0, "the end of it")
    assert receiver.requests == []
