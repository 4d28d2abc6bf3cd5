"""Figures of a worker, in the words of Prometheus."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_jackfield.worker.worker import Worker

logger = logging.getLogger("django_jackfield.worker")

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES = {
    "done": "handled",
    "too many": "limited",
}
"""Outcomes that have another name outside."""


class Metrics:
    """Counts events by their type and outcome, and how long handlers took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: Counter[tuple[str, str]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def count(self, kind: str, outcome: str, number: int = 1) -> None:
        """Counts events of a type."""
        with self._lock:
            self._events[kind or "unknown", OUTCOMES.get(outcome, outcome)] += number

    def observe(self, kind: str, seconds: float) -> None:
        """Counts a run of a handler."""
        place = next((n for n, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        with self._lock:
            buckets = self._buckets.get(kind)
            if buckets is None:
                buckets = self._buckets[kind] = [0] * (len(BOUNDS) + 1)
            buckets[place] += 1
            self._seconds[kind] += seconds  # type: ignore[assignment]

    def text(self, worker: Worker) -> str:
        """All of it, with what the worker holds now."""
        with self._lock:
            events = dict(self._events)
            buckets = {kind: list(counts) for kind, counts in self._buckets.items()}
            sums = dict(self._seconds)
        lines = [
            "# HELP jackfield_worker_events_total Events that were settled, or tried again.",
            "# TYPE jackfield_worker_events_total counter",
            *(
                f'jackfield_worker_events_total{{type="{kind}",outcome="{outcome}"}} {count}'
                for (kind, outcome), count in sorted(events.items())
            ),
            "# HELP jackfield_worker_handler_seconds How long handlers ran.",
            "# TYPE jackfield_worker_handler_seconds histogram",
        ]
        for kind, counts in sorted(buckets.items()):
            lines += _histogram(kind, counts, sums[kind])
        gauges = {
            "in_flight": ("Handlers that run now.", worker.watch.running),
            "held": ("Events that were read and are not settled.", worker.lanes.held),
            "lanes": ("Lanes that hold an event.", worker.lanes.depth),
            "bursts": ("Bursts whose end is waited for.", len(worker.bursts)),
            "threads": ("Threads that run handlers.", worker.lanes.threads),
        }
        for name, (what, value) in gauges.items():
            lines += [
                f"# HELP jackfield_worker_{name} {what}",
                f"# TYPE jackfield_worker_{name} gauge",
                f"jackfield_worker_{name} {value}",
            ]
        lines += [
            "# HELP jackfield_worker_stuck_total Handlers that ran for longer than they may.",
            "# TYPE jackfield_worker_stuck_total counter",
            f"jackfield_worker_stuck_total {worker.watch.stuck}",
        ]
        return "\n".join(lines) + "\n"


def serve(port: int, text: Callable[[], str]) -> ThreadingHTTPServer:
    """Answers GET /metrics on loopback, in a thread. Raises OSError if the port is taken."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.split("?")[0] in ("/", "/metrics")
            body = text().encode() if known else b"GET /metrics\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            logger.debug("metrics: " + format, *args)

    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    logger.info("worker: metrics at http://127.0.0.1:%d/metrics", server.server_port)
    return server


def _histogram(kind: str, counts: list[int], total: float) -> Iterator[str]:
    name = "jackfield_worker_handler_seconds"
    sum_so_far = 0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
        sum_so_far += count
        yield f'{name}_bucket{{type="{kind}",le="{bound}"}} {sum_so_far}'
    yield f'{name}_sum{{type="{kind}"}} {total:.6f}'
    yield f'{name}_count{{type="{kind}"}} {sum_so_far}'
