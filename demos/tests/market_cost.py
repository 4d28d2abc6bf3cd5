"""What an update costs the server, by policy: the market's feed at full rate, many readers.

    python demos/tests/market_cost.py --jackfield target/release/jackfield

A server, a feed and the readers of their own, on free ports. Each round measures the server's CPU
without readers, then with readers by each policy in turn; all of them read the same channel, each
thirty symbols of it, as a screen does. What is said of a policy is what it adds to the server that
has no readers, by the updates that arrived. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from market.exchange import COMPANIES, Exchange
from market.feed import Feed

POLICIES = ("all", "latest", "sampled:10")
SCREEN = 30
CONFIG = """
[http_server]
address = "127.0.0.1"
port = {web}
internal_port = {internal}
[client]
insecure = true
[app_link]
driver = "none"
[[tcp]]
name = "lines"
port = {lines}
dialect = "centrifugo-json"
[[channel.namespaces]]
name = "quotes"
delivery = "all"
snapshot = true
interest = "key"
[[source]]
name = "quotes"
url = "tcp://127.0.0.1:{feed}"
hello = "quotes\\n"
content = "json"
channel = "quotes:all"
key = "{{field:symbol}}"
"""


class Span(NamedTuple):
    """What happened in some seconds."""

    seconds: float
    cpu: float
    updates: int


def main() -> None:
    """Starts all of it, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jackfield", default=os.environ.get("JACKFIELD_BIN", "jackfield"))
    parser.add_argument("--rate", type=int, default=10_000, help="trades a second (%(default)s)")
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    options = parser.parse_args()
    ports = {name: free_port() for name in ("web", "internal", "lines", "feed")}
    feed = multiprocessing.Process(target=trade, args=(ports["feed"], options.rate), daemon=True)
    feed.start()
    with tempfile.TemporaryDirectory(prefix="market-cost-") as folder:
        config = Path(folder) / "jackfield.toml"
        config.write_text(CONFIG.format(**ports))
        command = [options.jackfield, "serve", "--config", str(config)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for(server, f"http://127.0.0.1:{ports['internal']}/health")
            tell(measure(server.pid, ports["lines"], options), options)
        finally:
            server.terminate()
            server.wait(20)
            feed.terminate()


def measure(server: int, port: int, options: argparse.Namespace) -> list[dict[str, Span]]:
    """The rounds: a span without readers, and one for each policy."""
    rounds = []
    for _ in range(options.rounds):
        spans = {"": span(server, None, options.seconds)}
        for policy in POLICIES:
            here, there = multiprocessing.Pipe()
            arguments = (there, port, policy, options.readers)
            readers = multiprocessing.Process(target=read, args=arguments, daemon=True)
            readers.start()
            here.recv()  # all of them are in
            spans[policy] = span(server, here, options.seconds)
            here.send(None)
            readers.join()
        rounds.append(spans)
    return rounds


def span(server: int, readers: Connection | None, seconds: float) -> Span:
    """Some seconds of a server, and what arrived in them."""

    def count() -> int:
        if readers is None:
            return 0
        readers.send("count")
        return int(readers.recv())

    begin, cpu, updates = time.monotonic(), cpu_seconds(server), count()
    time.sleep(seconds)
    return Span(time.monotonic() - begin, cpu_seconds(server) - cpu, count() - updates)


def tell(rounds: list[dict[str, Span]], options: argparse.Namespace) -> None:
    """The table; each figure is the median of the rounds."""

    def median(figures: list[float]) -> float:
        return statistics.median(figures)

    idle = median([one[""].cpu / one[""].seconds for one in rounds])
    print(f"{options.rate:,} trades/s, {options.readers} readers of {SCREEN} symbols each")
    print(f"without readers: {idle:.1%} of a core, {idle / options.rate * 1e6:.2f} µs per trade")
    print(f"{'policy':10} {'updates/s':>10} {'CPU':>7} {'µs per update':>14}   of each round")
    for policy in POLICIES:
        spans = [(one[policy], one[""]) for one in rounds]
        speed = median([one.updates / one.seconds for one, _ in spans])
        cpu = median([one.cpu / one.seconds for one, _ in spans])
        costs = [
            (one.cpu / one.seconds - base.cpu / base.seconds) / (one.updates / one.seconds) * 1e6
            for one, base in spans
        ]
        each = " ".join(f"{cost:.2f}" for cost in costs)
        print(f"{policy:10} {speed:10,.0f} {cpu:7.1%} {median(costs):14.2f}   {each}")


def read(parent: Connection, port: int, policy: str, count: int) -> None:
    """So many readers, each with the symbols of a screen; counts lines until told to end."""
    selector = selectors.DefaultSelector()
    symbols = [company.symbol for company in COMPANIES]
    for n in range(count):
        at = n * 7 % (len(symbols) - SCREEN)
        connection = socket.create_connection(("127.0.0.1", port))
        subscribe = {"channel": "quotes:all", "delivery": policy}
        interest = {"channel": "quotes:all", "keys": symbols[at : at + SCREEN]}
        for command in (
            {"id": 1, "connect": {}},
            {"id": 2, "subscribe": subscribe},
            {"id": 3, "rpc": {"method": "jackfield.interest", "data": interest}},
        ):
            connection.sendall(json.dumps(command).encode() + b"\n")
        said = b""
        while b'"id":3' not in said:
            if not (piece := connection.recv(65536)):
                raise SystemExit(f"closed: {said!r}")
            said += piece
        if b'"error"' in said:
            raise SystemExit(f"refused: {said!r}")
        selector.register(connection, selectors.EVENT_READ)
    selector.register(parent, selectors.EVENT_READ)
    parent.send("in")
    updates = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is parent:
                if parent.recv() is None:
                    return
                parent.send(updates)
            elif piece := key.fileobj.recv(1 << 20):
                updates += piece.count(b"\n")
            else:
                raise SystemExit("the server has closed a reader")


def trade(port: int, rate: int) -> None:
    """The feed, in a process of its own."""
    with suppress(KeyboardInterrupt):
        asyncio.run(Feed(Exchange(seed=1), rate).run("127.0.0.1", port))


def cpu_seconds(pid: int) -> float:
    """What a process has had of all cores."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    """Until it answers."""
    while True:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


if __name__ == "__main__":
    main()
