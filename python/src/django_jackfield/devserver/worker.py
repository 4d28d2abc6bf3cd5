"""The worker inside the reloaded child of `runserver`: threads that begin and end with it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from django_jackfield.aliases import brokers
from django_jackfield.registry import Registry, discover

if TYPE_CHECKING:
    from django_jackfield.worker.worker import Worker

THREADS = 4
GRACE_SECONDS = 2.0
WATCH_SECONDS = 0.5

_running: list[Callable[[], None]] = []


def start_worker() -> str:
    """Starts the worker; gives what hinders it, in words, or nothing.

    A realtime.py that cannot be imported does: pages are served all the same.
    """
    from django_jackfield.worker.worker import Worker

    try:
        registry = discovered()
        if registry is None:
            return "the worker waits for a realtime.py that can be imported"
        worker = Worker(brokers["default"], registry, threads=THREADS, grace_seconds=GRACE_SECONDS)
    except (ImproperlyConfigured, NotImplementedError, ValueError) as error:
        return f"no worker: {error}"
    thread = threading.Thread(target=worker.run, name="jackfield-worker", daemon=True)
    thread.start()
    stop = partial(_stop, worker, thread)
    _running.append(stop)
    atexit.register(stop)
    return ""


def discovered() -> Registry | None:
    """Every declaration; None, with the traceback on stderr, if a realtime.py is broken."""
    try:
        return discover()
    except Exception:
        traceback.print_exc()
        return None


def watch(parent: int) -> None:
    """Watches what the reloader does not, in a thread.

    A child left behind by a reloader that was killed would keep its port, and its worker would go
    on taking events with the code of yesterday. And a realtime.py that was not there or could not
    be imported is no module, so the reloader would not see it come or change.
    """
    files = [
        Path(app.path, "realtime.py")
        for app in apps.get_app_configs()
        if f"{app.name}.realtime" not in sys.modules
    ]
    before = [_changed(file) for file in files]

    def run() -> None:
        while os.getppid() == parent:
            if [_changed(file) for file in files] != before:
                for stop in _running:
                    stop()
                # What the reloader takes for "once more".
                os._exit(3)
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=run, name="jackfield-watch", daemon=True).start()


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _stop(worker: Worker, thread: threading.Thread) -> None:
    """Gives the leases back, so that the next child has them at once."""
    worker.stop()
    thread.join(GRACE_SECONDS + 2)
