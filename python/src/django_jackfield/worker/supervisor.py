"""Several worker processes under one parent that starts them again."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.autoreload import get_child_arguments

logger = logging.getLogger("django_jackfield.worker")

CHILD = "JACKFIELD_WORKER_CHILD"
"""In the environment of a child: its number, how many there are, and a pipe of its parent."""
FIRST_SECONDS = 0.5
MOST_SECONDS = 30.0
LASTING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Which of several children a process is."""

    number: int
    of: int
    pipe: int

    @classmethod
    def of_this_process(cls) -> Place | None:
        """Its place, if a parent started it as a child."""
        said = os.environ.pop(CHILD, "")
        if not said:
            return None
        number, count, pipe = map(int, said.split(":"))
        return cls(number, count, pipe)

    def share(self, partitions: Sequence[int]) -> list[int]:
        """The partitions of this child: each has its own, so none waits for another to die."""
        return list(partitions)[self.number :: self.of]

    def when_orphaned(self, stop: Callable[[], None]) -> None:
        """Stops when the parent is gone, however it went: the pipe then has no writer."""

        def listen() -> None:
            os.read(self.pipe, 1)
            logger.warning("worker: the parent process is gone, stopping")
            stop()

        threading.Thread(target=listen, name="parent", daemon=True).start()


@dataclass(slots=True)
class Child:
    """A child process, and when it may be started again."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    pause: float = FIRST_SECONDS
    clean: bool = True


class Supervisor:
    """Runs the command of this process several times, and once more when one dies.

    Why processes of their own and no forks: libraries that a project imports may hold threads and
    connections, which a fork would break.
    """

    def __init__(self, processes: int) -> None:
        self.children = [Child(number) for number in range(processes)]
        self._stops = 0
        self._pipe = os.pipe()

    def stop(self) -> None:
        """Hands a signal on: asked twice, the children do not wait for handlers either."""
        self._stops += 1

    def run(self) -> bool:
        """Until stopped. False if a child had to leave something for the next worker."""
        told = 0
        while True:
            self._reap()
            if self._stops > told:
                told += 1
                self._tell(signal.SIGTERM)
            if self._stops and not any(child.process for child in self.children):
                break
            if not self._stops:
                self._start_due()
            time.sleep(0.1)
        return all(child.clean for child in self.children)

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process is None and child.due <= now:
                self._start(child)

    def _start(self, child: Child) -> None:
        reader = self._pipe[0]
        place = f"{child.number}:{len(self.children)}:{reader}"
        child.started = time.monotonic()
        # A group of its own: Ctrl-C is heard once, from the parent.
        child.process = subprocess.Popen(  # noqa: S603 (the command line of this process)
            get_child_arguments(),
            env=os.environ | {CHILD: place},
            pass_fds=[reader],
            process_group=0,
        )
        logger.info("worker %d: process %d", child.number, child.process.pid)

    def _reap(self) -> None:
        for child in self.children:
            if child.process is None or (code := child.process.poll()) is None:
                continue
            child.process = None
            now = time.monotonic()
            if self._stops:
                child.clean = code == 0
                continue
            if now - child.started > LASTING_SECONDS:
                child.pause = FIRST_SECONDS
            logger.error(
                "worker %d: ended with %s, starts again in %g s",
                *(child.number, _words(code), child.pause),
            )
            child.due = now + child.pause
            child.pause = min(child.pause * 2, MOST_SECONDS)

    def _tell(self, number: int) -> None:
        for child in self.children:
            if child.process is not None:
                child.process.send_signal(number)


def _words(code: int) -> str:
    return f"code {code}" if code >= 0 else signal.Signals(-code).name
