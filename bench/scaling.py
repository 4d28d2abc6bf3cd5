#!/usr/bin/env python3
"""What many machines would need: nodes, brokers, and the storm after a lost node, from what was measured on one.

`bench/scaling.py` prints the tables of docs/scaling.md, `--write` puts them there, `--check` fails if they differ.
The inputs, with where each was measured, are bench/scaling.toml. Standard library only; the same seed, the same tables.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import re
import sys
import tomllib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent / "docs" / "scaling.md"
INPUTS = tomllib.loads((HERE / "scaling.toml").read_text())
I = {name: one["value"] for name, one in INPUTS.items() if "value" in one}
SEED = 5
SAMPLE = 5_000
"""Clients that are simulated of those that come to a node."""
PATIENCE = 300
"""Seconds after which a storm is left alone."""
SHARDS = 64
"""Of the Redis Cluster that others are compared with."""


# How many nodes.


@dataclass(frozen=True)
class Machine:
    """A node's machine."""

    cores: int
    memory_gb: int

    def __str__(self) -> str:
        return f"{self.cores} cores, {self.memory_gb} GB"


MACHINES = [Machine(8, 16), Machine(16, 32), Machine(32, 64), Machine(64, 128)]


@dataclass(frozen=True)
class Traffic:
    """Publications of one kind: how many a second, and how many subscribers each has."""

    name: str
    publications: int
    subscribers: int

    @property
    def deliveries(self) -> int:
        return self.publications * self.subscribers


TRAFFIC = [
    Traffic("halls", 500, 10_000),
    Traffic("rooms", 5_000, 1_000),
    Traffic("groups", 50_000, 100),
    Traffic("tables", 500_000, 10),
]


def connection_bytes(tls: bool) -> float:
    """Memory of one open connection, the kernel's part too."""
    return (I["tls_bytes"] if tls else I["plain_bytes"]) + I["kernel_bytes"]


def interested(subscribers: int, nodes: int) -> float:
    """On how many nodes a channel has somebody, if its subscribers are spread by chance."""
    return nodes * (1 - (1 - 1 / nodes) ** subscribers)


def delivery_us(traffic: Traffic, nodes: int) -> float:
    """CPU of one delivery: its write, and its share of hearing and encoding the publication on its node."""
    there = traffic.subscribers / interested(traffic.subscribers, nodes)
    return I["delivery_us"] + I["hear_us"] / there


def connection_us() -> float:
    """CPU of a connection for each second that it is open: pings, and its share of coming and going."""
    return I["idle_us"] + (I["tls_connect_us"] + I["recovery_us"]) / I["session_seconds"]


def node_load(traffic: Traffic, nodes: int, machine: Machine) -> float:
    """The part of a node's CPU that is in use when nothing happens."""
    deliveries = I["deliveries"] / nodes * delivery_us(traffic, nodes)
    connections = I["connections"] / nodes * connection_us()
    own = traffic.publications / nodes * I["publish_us"]
    return (deliveries + connections + own) / 1e6 / (machine.cores * I["core_efficiency"])


def nodes_for(traffic: Traffic, machine: Machine) -> tuple[int, int, int]:
    """How many are needed for memory, and for CPU; and the greater of both with one to spare."""
    usable = machine.memory_gb * 1e9 * I["memory_share"]
    memory = math.ceil(I["connections"] * connection_bytes(tls=True) / usable)
    cpu = next(nodes for nodes in range(2, 100_000) if node_load(traffic, nodes, machine) <= I["cpu_share"])
    return memory, cpu, max(memory, cpu) + 1


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown: the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def number(value: float) -> str:
    """As people read it: two digits that count, or all of a whole number."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def inputs() -> str:
    rows = [[one["what"], number(one["value"]), one["unit"], one["source"]] for one in INPUTS.values() if "value" in one]
    lines = ["| what | value | unit | where it comes from |", "|---|--:|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def nodes() -> str:
    rows = []
    for machine in MACHINES:
        for traffic in TRAFFIC:
            memory, cpu, needed = nodes_for(traffic, machine)
            load = node_load(traffic, needed, machine)
            rows.append([
                str(machine), f"{traffic.name}: {number(traffic.publications)} x {number(traffic.subscribers)}", memory, cpu, needed,
                number(I["connections"] / needed), f"{load:.0%}", f"{node_load(traffic, needed - 1, machine):.0%}",
            ])
    return table(["machine", "traffic", "for memory", "for CPU", "with one to spare", "connections each", "CPU in use", "when one is lost"], rows)


# The broker.


def crc16(data: bytes) -> int:
    """What Redis Cluster makes slots with (XMODEM)."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
            crc &= 0xFFFF
    return crc


def uneven(shards: int, prefix: str = "jackfield") -> float:
    """How much more than its share the busiest shard has, with slots dealt in equal ranges as `--cluster create` does."""
    parts = [0] * shards
    for part in range(I["redis_parts"]):
        parts[crc16(f"{prefix}:b:{part}".encode()) % 16384 * shards // 16384] += 1
    return max(parts) * shards / I["redis_parts"]


def redis_us(traffic: Traffic, nodes: int) -> float:
    """CPU of a Redis for one publication: the script, and a message to each node that cares."""
    return I["redis_publish_us"] + I["redis_node_us"] * interested(traffic.subscribers, nodes)


def shards_for(traffic: Traffic, nodes: int) -> int | None:
    """The fewest that hold, slots in equal ranges; None where no number does."""
    for shards in range(1, I["redis_parts"] + 1):
        busiest = traffic.publications * redis_us(traffic, nodes) / 1e6 / shards * uneven(shards)
        if busiest <= I["broker_share"]:
            return shards
    return None


def shards() -> str:
    rows = []
    for traffic in TRAFFIC:
        count = nodes_for(traffic, MACHINES[1])[2]
        us = redis_us(traffic, count)
        needed = shards_for(traffic, count)
        rows.append([
            f"{traffic.name}: {number(traffic.publications)} x {number(traffic.subscribers)}", count,
            number(interested(traffic.subscribers, count)), number(us), number(I["broker_share"] * 1e6 / us),
            "none holds" if needed is None else needed, "" if needed is None else f"{uneven(needed):.2f}",
        ])
    head = ["traffic", "nodes", "nodes that care", "us of a Redis each", "publications/s of one Redis", "shards needed", "busiest shard / mean"]
    return table(head, rows)


def ends() -> str:
    """Where each engine ends: how many publications a second, by the number of nodes."""
    share = I["broker_share"] * 1e6
    rows = []
    for count in (3, 10, 30, 100):
        few, all_ = interested(10, count), float(count)
        redis = share / (I["redis_publish_us"] + I["redis_node_us"] * few)
        redis_hall = share / (I["redis_publish_us"] + I["redis_node_us"] * all_)
        spread = SHARDS / uneven(SHARDS)
        rabbit = I["rabbitmq_cores"] * share / (I["rabbitmq_publish_us"] + I["rabbitmq_node_us"] * all_)
        # Every node reads all streams, whoever cares.
        reading = MACHINES[1].cores * I["core_efficiency"] * I["reading_share"] * 1e6 / I["rabbitmq_hear_us"]
        nats = I["nats_cores"] * share / (I["nats_publish_us"] + I["nats_node_us"] * few)
        nats_hall = I["nats_cores"] * share / (I["nats_publish_us"] + I["nats_node_us"] * all_)
        rows.append([
            count, f"{number(redis)} / {number(redis_hall)}", f"{number(redis * spread)} / {number(redis_hall * spread)}",
            number(min(rabbit, reading)), "the broker" if rabbit <= reading else "reading", f"{number(nats)} / {number(nats_hall)}",
        ])
    head = ["nodes", "one Redis", f"Redis Cluster, {SHARDS} shards", "RabbitMQ", "what ends first there", "NATS, one server"]
    return table(head, rows)


def channels() -> str:
    """What the channels of all connections take in the brokers."""
    rows = []
    for per in (1, 10, 100, 1_000):
        count = I["connections"] / per
        size = count * I["redis_channel_bytes"] / 1e9
        rows.append([number(per), number(count), number(size), number(count / SHARDS), number(size / SHARDS)])
    return table(["subscribers of a channel", "channels", "GB in Redis", f"channels of one of {SHARDS} shards", "GB of one"], rows)


# The storm, client by client.


@dataclass
class Storm:
    """One of the nodes that are left, and the clients that come to it."""

    clients: int
    capacity: float  # Microseconds of CPU a second that are left beside the steady load.
    cost: float  # Microseconds of one that comes back.
    notice: Callable[[random.Random], float]  # When a client knows that its connection is gone.
    dead_end: float = 0.0  # The chance that the balancer still sends an attempt to the lost node.
    dead_until: float = 0.0
    admitted: float = math.inf  # Attempts a second that the balancer lets through; it refuses the others at once.
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))

    def backoff(self, attempt: int) -> float:
        """As the SDKs do it: full jitter between a half and twenty seconds."""
        low, high = I["backoff_min"], I["backoff_max"]
        return min(high, low + self.chance.uniform(0, min(high, low * 2**attempt)))

    def run(self) -> Outcome:
        """Second by second, in steps of a hundredth: what has come is served in order, as far as the CPU goes."""
        step = 0.01
        due = [(self.notice(self.chance) + self.backoff(0), client, 0) for client in range(self.clients)]
        heapq.heapify(due)
        waiting: deque[tuple[float, int, int]] = deque()
        back: list[float] = []
        seconds: list[float] = []
        attempts = given_up = 0
        now, credit, admitted = 0.0, 0.0, 0.0
        while len(back) < self.clients:
            now += step
            admitted = min(admitted + self.admitted * step, self.admitted)
            while due and due[0][0] <= now:
                at, client, attempt = heapq.heappop(due)
                attempts += 1
                if now < self.dead_until and self.chance.random() < self.dead_end:
                    heapq.heappush(due, (at + I["connect_timeout"] + self.backoff(attempt + 1), client, attempt + 1))
                elif admitted < 1:
                    heapq.heappush(due, (now + self.backoff(attempt + 1), client, attempt + 1))
                else:
                    admitted -= 1
                    waiting.append((at, client, attempt))
            budget = credit + self.capacity * step
            used = 0.0
            while waiting and used + self.cost <= budget:
                at, client, attempt = waiting.popleft()
                used += self.cost
                if now - at > I["connect_timeout"]:
                    # It hung up meanwhile; the node has worked for nobody, and the client comes again.
                    given_up += 1
                    begin = max(now, at + I["connect_timeout"])
                    heapq.heappush(due, (begin + self.backoff(attempt + 1), client, attempt + 1))
                else:
                    back.append(now)
            # What is left of a step is not saved up while nobody waits.
            credit = budget - used if waiting else 0.0
            second = int(now - step / 2)
            seconds += [0.0] * (second + 1 - len(seconds))
            seconds[second] += used
            if now > PATIENCE:
                break
        return Outcome(self, back, seconds, attempts, given_up)


@dataclass
class Outcome:
    """What the storm was like."""

    storm: Storm
    back: list[float]
    seconds: list[float]
    attempts: int
    given_up: int

    def by(self, share: float) -> str:
        """When so many were back."""
        needed = math.ceil(self.storm.clients * share)
        return f"{self.back[needed - 1]:.1f} s" if len(self.back) >= needed else f"not in {PATIENCE} s"

    def peak(self, steady: float, capacity: float) -> float:
        """The busiest second, with what goes on anyway."""
        return steady + max(self.seconds, default=0.0) / capacity


def at_once(_: random.Random) -> float:
    """The kernel of a killed node says so by itself."""
    return 0.0


def by_ping(chance: random.Random) -> float:
    """Nobody says anything: the client waits for the next ping, and some seconds more."""
    return chance.uniform(0, I["ping_seconds"]) + I["ping_delay"]


def storm(count: int, machine: Machine, lost: int, notice: Callable[[random.Random], float], balancer: float, admitted: float = math.inf) -> list[Any]:
    """`lost` of `count` nodes are gone; what one of the others has to do. Where all are lost, they are back at once."""
    left = count - lost or count
    whole = machine.cores * I["core_efficiency"] * 1e6
    # The other connections of a node go on; where all were cut there is nothing else to do.
    busy = node_load(TRAFFIC[1], count, machine) if lost < count else 0.0
    clients = round(I["connections"] / count * lost / left)
    cost = I["tls_connect_us"] + I["recovery_us"]
    # A part of the clients with as large a part of the CPU: the same, only coarser.
    part = min(1.0, SAMPLE / clients)
    outcome = Storm(round(clients * part), whole * (1 - busy) * part, cost, notice, lost / count, balancer, admitted * part).run()
    return [
        number(clients), f"{busy:.0%}", f"{min(outcome.peak(busy, whole * part), 1.0):.0%}", f"{node_load(TRAFFIC[1], left, machine):.0%}",
        outcome.by(0.5), outcome.by(0.99), outcome.by(1.0), f"{outcome.attempts / clients / part:.1f}", number(outcome.given_up / part),
    ]


def storms() -> str:
    rows = []
    sixteen = MACHINES[1]
    fit = nodes_for(TRAFFIC[1], sixteen)[2]
    cases = [
        (f"{fit} nodes, one killed", fit, sixteen, 1, at_once, 0.0),
        (f"{fit} nodes, a machine without power", fit, sixteen, 1, by_ping, 10.0),
        (f"{2 * fit} nodes, one killed", 2 * fit, sixteen, 1, at_once, 0.0),
        (f"{fit} nodes, a third of them killed", fit, sixteen, fit // 3, at_once, 0.0),
        (f"the same, {number(I['admitted'])} a second let through to each", fit, sixteen, fit // 3, at_once, 0.0, I["admitted"]),
        (f"{2 * fit} nodes, a third of them killed", 2 * fit, sixteen, 2 * fit // 3, at_once, 0.0),
        (f"{fit} nodes, all connections cut at once", fit, sixteen, fit, at_once, 0.0),
        (f"the same, {number(I['admitted'])} a second let through to each", fit, sixteen, fit, at_once, 0.0, I["admitted"]),
        ("5 nodes with 64 cores, one killed", 5, MACHINES[3], 1, at_once, 0.0),
    ]
    for name, *case in cases:
        rows.append([name, *storm(*case)])
    head = ["case", "come to each", "CPU before", "busiest second", "CPU after", "half are back", "99 %", "all", "attempts each", "gave up waiting"]
    return table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    "inputs": inputs, "nodes": nodes, "shards": shards, "channels": channels, "ends": ends, "storms": storms,
}


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """The tables that a document has, by name."""
    for found in re.finditer(r"<!-- scaling: (\w+) -->\n(.*?)\n<!-- end -->", text, re.DOTALL):
        yield found[1], found[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if docs/scaling.md says something else")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    options = parser.parse_args()
    made = {name: make() for name, make in TABLES.items()}
    if options.write:
        text = DOCUMENT.read_text()
        for name, new in made.items():
            text = re.sub(rf"(<!-- scaling: {name} -->\n).*?(<!-- end -->)", lambda m, new=new: f"{m[1]}{new}\n{m[2]}", text, flags=re.DOTALL)
        DOCUMENT.write_text(text)
    elif options.check:
        found = dict(pieces(DOCUMENT.read_text()))
        wrong = [name for name in made if found.get(name) != made[name]]
        if wrong:
            print(f"docs/scaling.md does not say what bench/scaling.py computes: {', '.join(wrong)}. Run bench/scaling.py --write.")
            return 1
        print(f"docs/scaling.md: {len(made)} tables are as computed")
    else:
        print("\n\n".join(f"{name}\n\n{text}" for name, text in made.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
