#!/usr/bin/env python3
"""Counts the instructions that servers spend on a delivery, for machines that are not quiet.

Each binary runs under `valgrind --tool=callgrind` twice, with few and with many publications; the
difference divided by the deliveries is what one costs in the server's own code. The kernel's part
is not in it. The same binary counts the same within a percent, whatever else the machine does.

    bench/instructions.py target/release/jackfield /path/of/the/one/before
    bench/instructions.py --recoverable target/release/jackfield
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CONFIG = """\
workers = 1
[http_server]
address = "127.0.0.1"
port = {port}
internal_port = {internal_port}
[client]
insecure = true
message_rate_limit = 0
stale_close_delay = "600s"
[app_link]
driver = "none"
"""

RECOVERABLE = """\
[channel.without_namespace]
history_size = 100
history_ttl = "60s"
force_recovery = true
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with status {server.returncode} before it listened")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the server did not listen within two minutes")


def instructions(binary: Path, options: argparse.Namespace, messages: int) -> int:
    """All that a server executed in a run of so many publications."""
    with tempfile.TemporaryDirectory() as folder:
        config, out = Path(folder, "server.toml"), Path(folder, "callgrind.out")
        port = free_port()
        text = CONFIG.format(port=port, internal_port=free_port())
        config.write_text(text + (RECOVERABLE if options.recoverable else ""))
        valgrind = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}"]
        with subprocess.Popen(
            [*valgrind, binary, "serve", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as server:
            try:
                wait_for(port, server)
                load = ["fanout", "--subscribers", options.subscribers, "--in-flight", options.in_flight]
                load += ["--messages", messages, "--warm-up", 0, "--ramp", 64]
                load += ["--url", f"ws://127.0.0.1:{port}/connection/websocket"]
                subprocess.run(
                    [options.generator, *map(str, load)], check=True, timeout=600, stderr=subprocess.DEVNULL
                )
            finally:
                server.send_signal(signal.SIGINT)
                server.wait(120)
        return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", nargs="+", type=Path)
    parser.add_argument("--generator", type=Path, default=ROOT / "target/release/bench")
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--recoverable", action="store_true", help="channels with a history, subscribers that recover")
    options = parser.parse_args()
    few, many = 400, 4400
    first = None
    for binary in options.binaries:
        spent = instructions(binary, options, many) - instructions(binary, options, few)
        each = spent / ((many - few) * options.subscribers)
        first = first or each
        print(f"{binary}: {each:.1f} instructions a delivery, {each / first:.3f} of the first", flush=True)


if __name__ == "__main__":
    main()
