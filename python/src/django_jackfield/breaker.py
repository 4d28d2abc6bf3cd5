"""The breaker: an outage of the queue costs one timeout, then nothing until it is tried again."""

from __future__ import annotations

import threading
import time


class Breaker:
    """Counts failures in a row and refuses work while open.

    A failure that cost time opens it at once, quick ones (connection refused) after `limit`.
    After `pause_seconds` a single attempt is let through; its fate decides.
    """

    def __init__(self, limit: int, pause_seconds: float) -> None:
        self.limit = limit
        self.pause_seconds = pause_seconds
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until = 0.0

    @property
    def closed(self) -> bool:
        """Whether attempts are free to be made."""
        return self._open_until == 0.0

    def allows(self) -> bool:
        """Whether an attempt may be made. The first one after the pause takes the trial."""
        if self._open_until == 0.0:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._open_until:
                return False
            self._open_until = now + self.pause_seconds
            return True

    def succeeded(self) -> None:
        """Closes the breaker."""
        if self._failures or self._open_until:
            with self._lock:
                self._failures = 0
                self._open_until = 0.0

    def failed(self, *, slow: bool) -> None:
        """Counts a failure. `slow` tells that the caller had to wait for it."""
        with self._lock:
            self._failures += 1
            if slow or self._failures >= self.limit or self._open_until:
                self._open_until = time.monotonic() + self.pause_seconds
