#!/usr/bin/env python3
"""Measures the ways in beside each other: plain, compressed, TLS.

Each run is a fresh server with one worker; the ways take turns. `idle` tells the memory of a
connection that does nothing, `fanout` how often the server compresses one publication.
Certificates are made by `openssl`. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import ROOT, Server

CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
    "-keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
)
TLS = """\
[http_server.tls]
enabled = true
cert_pem_file = "cert.pem"
key_pem_file = "key.pem"
"""
DEFLATE = "[websocket]\ncompression = true\n"

WAYS = {
    "plain": ("", ""),
    "deflate": (DEFLATE, "--deflate"),
    "tls": (TLS, "--tls"),
    "tls-deflate": (TLS + DEFLATE, "--tls --deflate"),
}


def run_once(options: argparse.Namespace, way: str) -> dict:
    more, flags = WAYS[way]
    with tempfile.TemporaryDirectory(prefix="jackfield-bench-") as name:
        if "tls" in way:
            words = shlex.split(CERTIFICATE)
            subprocess.run(words, cwd=name, check=True, capture_output=True)
        command = f"{Path(options.jackfield).resolve()} serve -c {{config}} --workers 1"
        with Server(command, options.server_core, Path(name), more) as server:
            words = ["taskset", "-c", options.generator_core, options.generator]
            words += [options.mode, *flags.split(), *arguments(options, server), "--json"]
            words += ["--pid", str(server.process.pid)]
            words += ["--url", f"ws://127.0.0.1:{server.port}/connection/websocket"]
            run = subprocess.run(words, capture_output=True, text=True, check=False)
            if run.returncode != 0:
                log = server.log.read_text()[-1000:]
                sys.exit(f"{' '.join(words)}: {run.stderr[-1000:]}\n{log}")
            return json.loads(run.stdout)


def arguments(options: argparse.Namespace, server: Server) -> list[str]:
    if options.mode == "idle":
        return ["--connections", str(options.connections), "--hold", str(options.hold)]
    words = ["--subscribers", str(options.connections), "--seconds", str(options.seconds)]
    return [*words, "--metrics", f"127.0.0.1:{server.port + 1}"]


def figures(mode: str, result: dict) -> dict[str, float | None]:
    if mode == "idle":
        return {
            "RSS bytes per connection": result["rss_bytes_per_connection"],
            "after the hold": result["rss_bytes_per_connection_after_hold"],
        }
    return {
        "CPU us per delivery": result["server_cpu_us_per_delivery"],
        "publications": result["publications_done"],
        "compressions per publication": result["compressed"]["by_server_per_publication"],
        "compressed deliveries": result["compressed"]["frames_received"],
    }


def main() -> None:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["idle", "fanout"])
    parser.add_argument("--ways", default="plain,deflate", help=f"by comma, of {', '.join(WAYS)}")
    parser.add_argument("--jackfield", default=target / "jackfield", help="path of the binary")
    parser.add_argument("--generator", default=str(target / "bench"), help="path of the binary `bench`")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--hold", type=float, default=5, help="seconds, of idle")
    parser.add_argument("--seconds", type=float, default=4, help="steady part of fanout")
    parser.add_argument("--server-core", default="0")
    parser.add_argument("--generator-core", default="1")
    options = parser.parse_args()
    ways = options.ways.split(",")
    if unknown := [way for way in ways if way not in WAYS]:
        sys.exit(f"unknown ways {unknown}; there are {', '.join(WAYS)}")
    seen: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    for pair in range(options.pairs):
        for way in ways if pair % 2 == 0 else reversed(ways):
            result = run_once(options, way)
            values = {key: value for key, value in figures(options.mode, result).items() if value is not None}
            for key, value in values.items():
                seen[way].setdefault(key, []).append(value)
            line = ", ".join(f"{key} {value:,.2f}" for key, value in values.items())
            others = result["spent"]["others_cpu_share"] or 0
            print(f"  {pair + 1}. {way:12} {line}; others {others:.0%}", flush=True)
    for way, columns in seen.items():
        for key, values in columns.items():
            middle = statistics.median(values)
            print(f"{way:12} {key}: {middle:,.2f} ({min(values):,.2f} - {max(values):,.2f})")


if __name__ == "__main__":
    main()
