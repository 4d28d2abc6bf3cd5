#!/usr/bin/env python3
"""What a publication costs between nodes: CPU of the broker and of each node, by how many nodes care.

Starts a private Redis, RabbitMQ or NATS, nodes of one worker behind it, and publishes batches over HTTP on the first node;
the others have a subscriber, or none. A broker's CPU is a + b x nodes that care (a line through the measurements).
NATS is spoken to without Jackfield: its bare cost of a message and of handing it on.
The figures go into bench/scaling.toml by hand. See bench/README.md.

`fanout` asks what a broker in the path adds to a delivery: two servers, one with the memory broker and one behind Redis,
in turns, 1,000 subscribers, publications at a fixed rate. Why not as fast as they go: what comes together is written
together, and how much that is differs with the path.

    JACKFIELD_BIN=target/release/jackfield bench/paths.py redis rabbitmq nats
    JACKFIELD_BIN=target/release/jackfield bench/paths.py fanout
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "nodes")]

from cluster import Socket, node, together  # noqa: E402
from serving import BINARY, Server, free_port, wait_for  # noqa: E402

from servers import RabbitMQ, Redis  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
BATCH = 100
DATA = "x" * 128


def cpu(group: list[int]) -> float:
    """User and system time of processes, in microseconds."""
    spent = 0
    for pid in group:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        spent += int(fields[11]) + int(fields[12])
    return spent * 1e6 / TICK


def session(leader: int) -> list[int]:
    """All processes of a server that began a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append(int(stat.parent.name))
    return found


def publish(server: Server, channel: str, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.internal, timeout=60)
    command = {"publish": {"channel": channel, "data": DATA}}
    body = json.dumps({"commands": [command] * BATCH, "parallel": True})
    for _ in range(count // BATCH):
        connection.request("POST", "/api/batch", body, {"X-API-Key": "test-key", "Content-Type": "application/json"})
        answer = connection.getresponse()
        assert b'"error"' not in answer.read() and answer.status == 200
    connection.close()


class Ear(threading.Thread):
    """A subscriber that counts frames without reading them much."""

    def __init__(self, server: Server, channel: str):
        super().__init__(daemon=True)
        self.connection, self.heard = Socket(server.port), 0
        self.connection.command(connect={})
        self.connection.command(subscribe={"channel": channel})
        self.start()

    def run(self) -> None:
        while messages := self.connection.messages(60):
            if {} in messages:
                self.connection.text("{}")
            self.heard += sum(1 for message in messages if "pub" in message.get("push", {}))


def measure(broker: Redis | RabbitMQ, kind: str, nodes: int, caring: int, count: int) -> dict[str, float]:
    """Of one run: the broker, the node that publishes, and the mean of the others that care or do not."""
    url = broker.admin_url if isinstance(broker, Redis) else broker.url
    servers = [node(url, name=f"n{n}", sets=(f"broker.prefix=p{time.monotonic_ns()}",)) for n in range(1)]
    prefix = servers[0].sets[-1]
    servers += [node(url, name=f"n{n}", sets=(prefix,)) for n in range(1, nodes)]
    for server in servers:
        server.workers = 1
        server.start()
    try:
        together(servers, 60)
        channel = "kept:measured"
        ears = [Ear(server, channel) for server in servers[1 : 1 + caring]]
        publish(servers[0], channel, BATCH * 5)
        wait_for(lambda: all(ear.heard == BATCH * 5 for ear in ears), "the warm-up")
        before = [cpu(session(broker.process.pid)), *(cpu([server.process.pid]) for server in servers)]
        publish(servers[0], channel, count)
        wait_for(lambda: all(ear.heard == BATCH * 5 + count for ear in ears), "all of it", 120)
        after = [cpu(session(broker.process.pid)), *(cpu([server.process.pid]) for server in servers)]
        spent = [(new - old) / count for new, old in zip(after, before, strict=True)]
        mean = lambda values: sum(values) / len(values) if values else 0.0  # noqa: E731
        return {
            "broker": spent[0], "publisher": spent[1], "caring": mean(spent[2 : 2 + caring]), "others": mean(spent[2 + caring :]),
        }
    finally:
        for server in servers:
            server.__exit__()


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """a and b of a + b x, by least squares."""
    result = statistics.linear_regression(*zip(*points, strict=True))
    return result.intercept, result.slope


def through(broker: Redis | RabbitMQ, kind: str, count: int) -> None:
    try:
        broker.start()
        if isinstance(broker, Redis):
            relax(broker)
        points = []
        for nodes, caring in ((2, 1), (4, 3), (4, 1), (2, 1), (4, 3)):
            spent = measure(broker, kind, nodes, caring, count)
            # RabbitMQ's streams are read by all.
            points.append((caring if kind == "redis" else nodes, spent["broker"]))
            words = ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
            print(f"{kind}, {nodes} nodes, {caring} of them care: us a publication: {words}", flush=True)
        a, b = line(points)
        print(f"{kind}: {a:.1f} + {b:.1f} x {'nodes that care' if kind == 'redis' else 'nodes'}", flush=True)
        if isinstance(broker, Redis):
            memory(broker)
    finally:
        broker.remove()


def relax(broker: Redis) -> None:
    """The disk as people have it, not as tests want it."""
    import redis

    with redis.Redis.from_url(broker.admin_url, protocol=2) as admin:
        admin.config_set("appendfsync", "everysec")


def memory(broker: Redis) -> None:
    """What a channel takes with 1, 2, 3 ... publications: Redis gives a stream a block of 4 KB at once."""
    import redis

    with redis.Redis.from_url(broker.admin_url, protocol=2) as admin, node(broker.admin_url, name="m", sets=("broker.prefix=memory",)) as server:
        together([server])
        used = lambda: admin.info("memory")["used_memory"]  # noqa: E731
        channels, start = 5_000, used()
        sizes = []
        for _ in range(4):
            connection = http.client.HTTPConnection("127.0.0.1", server.internal, timeout=60)
            for first in range(0, channels, BATCH):
                commands = [{"publish": {"channel": f"kept:{first + n}", "data": DATA}} for n in range(BATCH)]
                connection.request("POST", "/api/batch", json.dumps({"commands": commands, "parallel": True}), {"X-API-Key": "test-key"})
                assert connection.getresponse().read()
            sizes.append((used() - start) / channels)
        print(f"redis: bytes of a channel with 1, 2, 3, 4 publications: {', '.join(f'{size:.0f}' for size in sizes)}", flush=True)


def fanout(rounds: int) -> None:
    """CPU per delivery with the memory broker and through Redis."""
    config = """
[http_api]
key = "test-key"
[client]
insecure = true
message_rate_limit = 0
[channel.without_namespace]
"""
    broker = Redis()
    servers: dict[str, Server] = {}
    try:
        broker.start()
        sets = ("broker.driver=redis", f"broker.url={broker.admin_url}")
        servers = {"memory": Server(config, workers=1), "redis": Server(config, workers=1, sets=sets)}
        for server in servers.values():
            server.start()
        for rate in (50, 100, 150):
            spent: dict[str, list[float]] = {name: [] for name in servers}
            for turn in range(rounds):
                names = list(servers) if turn % 2 else list(servers)[::-1]
                for name in names:
                    spent[name].append(delivery(servers[name], rate))
            ratios = [other / one for one, other in zip(spent["memory"], spent["redis"], strict=True)]
            one, other = (statistics.median(spent[name]) for name in ("memory", "redis"))
            print(
                f"fan-out to 1,000, {rate} a second: {one:.2f} us of CPU a delivery with memory, {other:.2f} through Redis, "
                f"of {rounds} pairs the median ratio {statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )
    finally:
        for server in servers.values():
            server.__exit__()
        broker.remove()


def delivery(server: Server, rate: int) -> float:
    """Microseconds of the server's CPU for one delivery."""
    command = [str(BINARY), "bench", "fanout", "--url", server.url, "--pid", str(server.process.pid), "--json"]
    command += ["--subscribers", "1000", "--rate", str(rate), "--seconds", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return float(told["server_cpu_us_per_delivery"])


def nats(count: int) -> None:
    """One publisher, some subscribers, without Jackfield."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        process = subprocess.Popen([shutil.which("nats-server") or "/usr/sbin/nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder], stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: opens(port), "nats")
            for what, prepare in (("core", None), ("JetStream", stream)):
                points = []
                for caring in (1, 3, 6, 1, 3, 6):
                    spent = messages(port, process.pid, caring, count, prepare)
                    points.append((float(caring), spent))
                a, b = line(points)
                print(f"nats, {what}: {a:.2f} + {b:.2f} x subscribers", flush=True)
        finally:
            process.kill()
            process.wait()


def opens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def dial(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), 10)
    made.recv(4096)
    made.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
    assert b"PONG" in made.recv(64)
    return made


def stream(connection: socket.socket) -> None:
    """A stream on disk that takes the subject."""
    request = json.dumps({"name": "S", "subjects": ["s"], "storage": "file", "max_msgs": 10000}).encode()
    connection.sendall(b"PUB $JS.API.STREAM.CREATE.S %d\r\n%s\r\nPING\r\n" % (len(request), request))
    assert b"PONG" in connection.recv(4096)


def messages(port: int, pid: int, caring: int, count: int, prepare: Callable[[socket.socket], None] | None) -> float:
    publisher = dial(port)
    if prepare:
        prepare(publisher)
    subject = b"s" if prepare else b"c"
    size = 200
    message = b"MSG %s 1 %d\r\n" % (subject, size) + b"x" * size + b"\r\n"
    heard = [0] * caring

    def listen(nth: int) -> None:
        connection = dial(port)
        connection.sendall(b"SUB %s 1\r\nPING\r\n" % subject)
        ready.wait()
        connection.settimeout(30)
        while heard[nth] < count * len(message):
            heard[nth] += len(connection.recv(1 << 20))
        connection.close()

    ready = threading.Barrier(caring + 1)
    threads = [threading.Thread(target=listen, args=(nth,), daemon=True) for nth in range(caring)]
    for thread in threads:
        thread.start()
    ready.wait()
    time.sleep(0.2)  # Their subscriptions are on the way.
    before = cpu([pid])
    blob = (b"PUB %s %d\r\n" % (subject, size) + b"x" * size + b"\r\n") * BATCH
    for _ in range(count // BATCH):
        publisher.sendall(blob)
    for thread in threads:
        thread.join(120)
    publisher.sendall(b"PING\r\n")
    assert b"PONG" in publisher.recv(4096)
    publisher.close()
    return (cpu([pid]) - before) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("broker", nargs="+", choices=["redis", "rabbitmq", "nats", "fanout"])
    parser.add_argument("--count", type=int, default=20_000, help="publications of one run")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of fanout at each rate")
    options = parser.parse_args()
    for kind in options.broker:
        if kind == "fanout":
            fanout(options.rounds)
        elif kind == "nats":
            nats(options.count * 5)
        else:
            through({"redis": Redis, "rabbitmq": RabbitMQ}[kind](), kind, options.count)


if __name__ == "__main__":
    main()
