"""Lanes: deliveries of one connection in order, different connections in parallel."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from django_jackfield.worker.feed import Delivery

logger = logging.getLogger("django_jackfield.worker")


class Lanes:
    """A thread pool whose work is ordered per lane.

    Invariant: a lane is either in the queue of ready lanes once, or held by one thread, or empty
    and gone. After each delivery it goes to the end of the queue, so no lane starves another.
    """

    def __init__(
        self, threads: int, capacity: int | None, handle: Callable[[Delivery], None]
    ) -> None:
        self.threads = threads
        self.capacity = capacity
        self._handle = handle
        self._lanes: dict[str, deque[Delivery]] = {}
        self._ready: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._change = threading.Condition()
        self._held = 0

    def start(self) -> None:
        """Starts the threads. They are daemons: a handler that never ends cannot hold the exit."""
        for number in range(self.threads):
            threading.Thread(target=self._work, name=f"lane-{number}", daemon=True).start()

    def submit(self, delivery: Delivery, timeout: float = 0.0) -> bool:
        """Puts a delivery at the end of its lane; False if there is no room in time."""
        lane = delivery.lane
        with self._change:
            if self.capacity is not None and not self._change.wait_for(self._has_room, timeout):
                return False
            self._held += 1
            waiting = self._lanes.get(lane)
            if waiting is not None:
                waiting.append(delivery)
                return True
            self._lanes[lane] = deque([delivery])
        self._ready.put(lane)
        return True

    def drain(self, timeout: float, hurry: threading.Event) -> int:
        """Waits until all is done, `timeout` passes or `hurry` is set. Returns what is left."""
        end = time.monotonic() + timeout
        with self._change:
            while self._held and time.monotonic() < end and not hurry.is_set():
                self._change.wait(min(0.2, timeout))
            left = self._held
        for _ in range(self.threads):
            self._ready.put(None)
        return left

    def _has_room(self) -> bool:
        return self.capacity is None or self._held < self.capacity

    def _work(self) -> None:
        while (lane := self._ready.get()) is not None:
            try:
                self._handle(self._lanes[lane][0])
            except BaseException:
                logger.exception("a delivery fell through; it will come again")
            with self._change:
                waiting = self._lanes[lane]
                waiting.popleft()
                if not waiting:
                    del self._lanes[lane]
                self._held -= 1
                self._change.notify_all()
                more = bool(waiting)
            if more:
                self._ready.put(lane)
