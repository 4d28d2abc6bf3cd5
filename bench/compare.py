#!/usr/bin/env python3
"""Measures a server beside `limit`, turn by turn, and writes a table of ratios.

The server runs on one core and the generator on another. Both servers take turns, in at least
five pairs, each time as a fresh process; a ratio is taken within each pair and the median of the
ratios is what counts. See bench/README.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CONFIG = """\
[http_server]
address = "127.0.0.1"
port = {port}
internal_port = {internal_port}
[client]
insecure = true
message_rate_limit = 0
[app_link]
driver = "none"
"""


@dataclass(frozen=True)
class Workload:
    """One line of the table: what the generator does and which figure is compared."""

    title: str
    arguments: str
    figure: str
    unit: str
    gathers: bool = False
    """Compare with the `limit` that gathers too."""
    timed: bool = True
    """Takes --seconds."""


CPU = "server_cpu_us_per_delivery"


def workloads(connections: int, hold: float) -> dict[str, Workload]:
    def fanout(subscribers: int, in_flight: int) -> Workload:
        return Workload(
            f"fan-out to {subscribers:,}, {in_flight} in flight",
            f"fanout --subscribers {subscribers} --in-flight {in_flight}",
            CPU,
            "CPU us per delivery",
            gathers=in_flight > 1,
        )

    rooms = "fanout --subscribers 10000 --rooms 1000 --in-flight 64"
    connect = "connect --connections 50000"
    idle = f"idle --connections {connections} --hold {hold}"
    trip = ("server_cpu_us_per_round_trip", "CPU us per round trip")
    arrival = ("server_cpu_us_per_connection", "CPU us per connection")
    memory = ("rss_bytes_per_connection", "RSS bytes per connection")
    return {
        "fanout-1000-1": fanout(1_000, 1),
        "fanout-10000-1": fanout(10_000, 1),
        "fanout-1000-16": fanout(1_000, 16),
        "fanout-10000-16": fanout(10_000, 16),
        "rooms": Workload("1,000 rooms of 10, 64 in flight", rooms, CPU, "CPU us per delivery", True),
        "connect": Workload("connect, subscribe, close", connect, *arrival, timed=False),
        "idle": Workload(f"{connections:,} idle connections", idle, *memory, timed=False),
        "echo": Workload("echo, 100 connections", "echo", *trip),
        "rpc": Workload("rpc, 100 connections", "echo --rpc echo", *trip),
    }


DEFAULT = "fanout-1000-1,fanout-10000-1,fanout-1000-16,fanout-10000-16,rooms,connect,idle"


@dataclass
class Runs:
    """The results of one server on one workload, in the order of the pairs."""

    name: str
    results: list[dict] = field(default_factory=list)

    def figures(self, key: str) -> list[float]:
        return [result[key] for result in self.results]

    def median(self, key: str) -> float:
        return statistics.median(self.figures(key))

    def generator_at_limit(self) -> bool:
        return any(result["spent"]["generator_at_limit"] for result in self.results)

    def others(self) -> float:
        """The share of a core that the rest of the machine used, at its worst."""
        return max(result["spent"]["others_cpu_share"] or 0 for result in self.results)


class Server:
    """A server process on its core, for one measurement."""

    def __init__(self, command: str, core: str, directory: Path, more: str = ""):
        self.port = free_ports()
        config = directory / "server.toml"
        config.write_text(CONFIG.format(port=self.port, internal_port=self.port + 1) + more)
        self.log = directory / "server.log"
        words = shlex.split(command.format(port=self.port, config=config))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", core, *words],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=directory,
            )

    def __enter__(self) -> Server:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                time.sleep(0.3)
                return self
        self.__exit__()
        sys.exit(f"the server did not start: {self.log.read_text()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_ports() -> int:
    """A port that is free on loopback, and the next one too."""
    for port in range(18400, 19400, 2):
        try:
            for number in (port, port + 1):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port
    sys.exit("no two free ports between 18400 and 19400")


def run_once(options: argparse.Namespace, command: str, workload: Workload) -> dict:
    with tempfile.TemporaryDirectory(prefix="jackfield-bench-") as name:
        with Server(command, options.server_core, Path(name)) as server:
            url = f"ws://127.0.0.1:{server.port}/connection/websocket"
            words = ["taskset", "-c", options.generator_core, *shlex.split(options.generator)]
            words += [*workload.arguments.split(), "--json", "--url", url]
            words += ["--pid", str(server.process.pid)]
            if workload.timed:
                words += ["--seconds", str(options.seconds)]
            run = subprocess.run(words, capture_output=True, text=True, check=False)
            if run.returncode != 0:
                log = server.log.read_text()[-1000:]
                raise RuntimeError(f"{' '.join(words)}: {run.stderr[-1000:]}\n{log}")
            return json.loads(run.stdout)


def measure(options: argparse.Namespace, workload: Workload) -> list[Runs]:
    """The server first, then the limits it is compared with."""
    commands = {options.name: options.command, "limit": f"{options.limit} --port {{port}}"}
    if workload.gathers:
        commands["limit --gather"] = f"{options.limit} --gather --port {{port}}"
    runs = {name: Runs(name) for name in commands}
    for pair in range(options.pairs):
        # Who begins changes with each pair, so that a drift of the machine hits all alike.
        names = list(commands) if pair % 2 == 0 else list(reversed(commands))
        for name in names:
            result = run_once(options, commands[name], workload)
            runs[name].results.append(result)
            value = number(result[workload.figure])
            spent = result["spent"]
            print(
                f"  {pair + 1}. {name:15} {value:>9} {workload.unit}, "
                f"generator {spent['generator_cpu_share']:.0%}, "
                f"others {spent['others_cpu_share'] or 0:.0%}",
                flush=True,
            )
    return list(runs.values())


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def ratio(ours: Runs, floor: Runs, key: str) -> str:
    pairs = [a / b for a, b in zip(ours.figures(key), floor.figures(key)) if b > 0]
    if not pairs:
        return "-"
    return f"**{statistics.median(pairs):.2f}** ({min(pairs):.2f}-{max(pairs):.2f})"


def row(workload: Workload, runs: list[Runs]) -> str:
    ours, floor, *gathering = runs
    key = workload.figure
    cells = [
        workload.title,
        workload.unit,
        number(ours.median(key)),
        number(floor.median(key)),
        ratio(ours, floor, key),
        number(gathering[0].median(key)) if gathering else "-",
        ratio(ours, gathering[0], key) if gathering else "-",
    ]
    if "latency" in ours.results[0]:
        p99 = [statistics.median(r["latency"]["p99_us"] for r in run.results) for run in runs[:2]]
        cells.append(" / ".join(f"{value / 1e3:.1f}" for value in p99))
    else:
        cells.append("-")
    busy = [run.name for run in runs if run.generator_at_limit()]
    cells.append(", ".join(busy) or "-")
    cells.append(f"{max(run.others() for run in runs):.0%}")
    return f"| {' | '.join(cells)} |"


def notes(workload: Workload, runs: list[Runs]) -> list[str]:
    """What does not fit the table."""
    if workload.figure != "rss_bytes_per_connection":
        return []
    lines = []
    for run in runs:
        user = run.median("server_user_us_per_connection_second")
        system = run.median("server_system_us_per_connection_second")
        cpu = f"{user:.3f} us user and {system:.3f} us system per connection and second"
        lines.append(f"- idle CPU of {run.name}, {workload.title}: {cpu}.")
    return lines


def heading(options: argparse.Namespace) -> list[str]:
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").open() if "model name" in line),
        "CPU not known",
    )
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return [
        f"{when}, commit {commit or 'not known'}, {cpu}, {os.cpu_count()} cores, "
        f"Linux {os.uname().release}, {options.pairs} pairs, medians (least-most).",
        "",
        f"`{' '.join(['bench/compare.py', *sys.argv[1:]])}`",
        "",
        f"| workload | figure | {options.name} | limit | ratio | limit --gather | ratio "
        f"| p99 ms, {options.name} / limit | generator above 90 % with | others, most |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|--:|",
    ]


def arguments() -> argparse.Namespace:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jackfield", default=target / "jackfield", help="path of the binary")
    parser.add_argument(
        "--command",
        help="start the server by this instead; {port} and {config} are filled in "
        "(default: JACKFIELD serve -c {config} --workers 1)",
    )
    parser.add_argument("--name", default="jackfield", help="its name in the table")
    parser.add_argument("--limit", default=target / "limit", help="path of the binary `limit`")
    parser.add_argument(
        "--generator",
        default=str(target / "bench"),
        help="the generator: the binary `bench`, or 'jackfield bench'",
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="steady part of a timed run")
    parser.add_argument("--connections", type=int, default=10_000, help="of the workload idle")
    parser.add_argument("--hold", type=float, default=30, help="seconds, of the workload idle")
    parser.add_argument("--only", default=DEFAULT, help=f"workloads, by comma; also: echo, rpc (default: {DEFAULT})")
    parser.add_argument("--server-core", default="0")
    parser.add_argument("--generator-core", default="1")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "compare.md")
    options = parser.parse_args()
    options.command = options.command or f"{options.jackfield} serve -c {{config}} --workers 1"
    if options.pairs < 5:
        print("fewer than five pairs are a try, not a measurement", file=sys.stderr)
    return options


def main() -> None:
    options = arguments()
    known = workloads(options.connections, options.hold)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"unknown workloads {unknown}; there are {', '.join(known)}")
    lines, remarks, failed = heading(options), [], False
    for name in names:
        print(f"{known[name].title}:")
        try:
            runs = measure(options, known[name])
        except RuntimeError as error:
            failed = True
            print(f"  failed: {error}", file=sys.stderr)
            lines.append(f"| {known[name].title} | failed | | | | | | | | |")
        else:
            lines.append(row(known[name], runs))
            remarks += notes(known[name], runs)
        # Written after each workload, so that an interrupted run keeps what it has.
        text = "\n".join([*lines, "", *remarks]).rstrip() + "\n"
        options.output.write_text(text)
    print(f"\n{text}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
