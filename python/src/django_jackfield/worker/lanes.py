"""Lanes: deliveries of one key in order, different keys in parallel."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from django_jackfield.worker.clock import Clock
from django_jackfield.worker.feed import Delivery

logger = logging.getLogger("django_jackfield.worker")


class Lane:
    """The deliveries of one key, oldest first. The thread that holds it alone takes from it."""

    __slots__ = ("key", "taken", "waiting")

    def __init__(self, key: str, first: Delivery) -> None:
        self.key = key
        self.waiting = deque([first])
        self.taken = 1

    def behind(self, count: int) -> list[Delivery]:
        """Up to so many deliveries that wait behind the first."""
        return list(islice(self.waiting, 1, 1 + count))


Handle = Callable[[Delivery, Lane], float | None]
"""Handles the first delivery of a lane, and as many more as it says in `taken`. A number asks
for another try after so many seconds; until then the lane waits."""


class Lanes:
    """A thread pool whose work is ordered per lane.

    Invariant: a lane is either in the queue of ready lanes once, or held by one thread, or paused
    until a time, or empty and gone. After each delivery it goes to the end of the queue, so no
    lane starves another.
    """

    def __init__(self, threads: int, capacity: int | None, handle: Handle, clock: Clock) -> None:
        self.threads = threads
        self.capacity = capacity
        self._handle = handle
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._ready: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()
        self._change = threading.Condition()
        self._held = 0
        self._resting: set[Lane] = set()
        self._wanting = 0
        self._started = 0
        self._stuck: set[int] = set()
        self._draining = False

    @property
    def held(self) -> int:
        """Deliveries that are here, begun or not."""
        return self._held

    @property
    def depth(self) -> int:
        """Lanes that hold something."""
        return len(self._lanes)

    def start(self) -> None:
        """Starts the threads. They are daemons: a handler that never ends cannot hold the exit."""
        for _ in range(self.threads):
            self._start_one()

    def submit(self, key: str, delivery: Delivery, timeout: float | None = 0.0) -> bool:
        """Puts a delivery at the end of its lane; False if there is no room in time.

        Without a timeout there is always room.
        """
        with self._change:
            if timeout is not None and not self._has_room():
                self._wanting += 1
                try:
                    if not self._change.wait_for(self._has_room, timeout):
                        return False
                finally:
                    self._wanting -= 1
            self._held += 1
            lane = self._lanes.get(key)
            if lane is not None:
                lane.waiting.append(delivery)
                return True
            lane = self._lanes[key] = Lane(key, delivery)
        self._ready.put(lane)
        return True

    def replace(self, ident: int) -> bool:
        """Starts a thread for one that is stuck, which ends when it comes back.

        False if as many were replaced as there are threads.
        """
        with self._change:
            if len(self._stuck) >= self.threads:
                return False
            self._stuck.add(ident)
        self._start_one()
        return True

    def drain(self, timeout: float, hurry: threading.Event) -> int:
        """Waits until all is done, `timeout` passes or `hurry` is set. Returns what is left.

        Lanes that wait for another try are left: whoever comes next tries again.
        """
        end = time.monotonic() + timeout
        with self._change:
            self._draining = True
            while self._at_work() and time.monotonic() < end and not hurry.is_set():
                self._change.wait(min(0.2, timeout))
            left = self._at_work()
        for _ in range(self._started):
            self._ready.put(None)
        return left

    def _start_one(self) -> None:
        name = f"lane-{self._started}"
        self._started += 1
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _has_room(self) -> bool:
        return self.capacity is None or self._held < self.capacity

    def _work(self) -> None:
        ident = threading.get_ident()
        while (lane := self._ready.get()) is not None:
            pause: float | None = None
            lane.taken = 1
            try:
                pause = self._handle(lane.waiting[0], lane)
            except BaseException:
                logger.exception("a delivery fell through; it will come again")
            if pause is not None:
                self._pause(lane, pause)
            elif self._advance(lane):
                self._ready.put(lane)
            if self._stuck and ident in self._stuck:
                with self._change:
                    self._stuck.discard(ident)
                return

    def _advance(self, lane: Lane) -> bool:
        """Takes what was handled from a lane; whether there is more."""
        with self._change:
            waiting = lane.waiting
            for _ in range(lane.taken):
                waiting.popleft()
            if not waiting:
                del self._lanes[lane.key]
            self._held -= lane.taken
            if self._wanting or self._draining:
                self._change.notify_all()
            return bool(waiting)

    def _pause(self, lane: Lane, seconds: float) -> None:
        with self._change:
            self._resting.add(lane)
            self._change.notify_all()

        def go_on() -> None:
            with self._change:
                if self._draining:
                    return
                self._resting.discard(lane)
            self._ready.put(lane)

        self._clock.after(seconds, go_on)

    def _at_work(self) -> int:
        """What is neither done nor waits for another try."""
        return self._held - sum(len(lane.waiting) for lane in self._resting)
