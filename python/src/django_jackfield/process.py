"""Things that a process makes once and must not share with its forks."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_stores: weakref.WeakSet[PerProcess[Any]] = weakref.WeakSet()


class PerProcess(Generic[T]):
    """A store keyed by the process and a config.

    Why: gunicorn --preload and mod_wsgi fork after the first use; a connection inherited from
    the parent must be neither used nor closed by the child, so it is only left alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[tuple[int, Hashable], T] = {}
        _stores.add(self)

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of this process for `key`."""
        full = (os.getpid(), key)
        item = self._items.get(full)
        if item is None:
            with self._lock:
                item = self._items.get(full)
                if item is None:
                    item = self._items[full] = make()
        return item

    def pop(self, key: Hashable) -> T | None:
        """Takes the thing of this process for `key` out of the store."""
        with self._lock:
            return self._items.pop((os.getpid(), key), None)

    def forget_lock(self) -> None:
        """Gives a forked child a lock that no thread of the parent can hold."""
        self._lock = threading.Lock()


def _after_fork() -> None:
    for store in list(_stores):
        store.forget_lock()


os.register_at_fork(after_in_child=_after_fork)
