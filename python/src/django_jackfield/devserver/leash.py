"""Keeps a server on a leash: `python leash.py FOLDER COMMAND...` ends the command when stdin ends.

Why a process of its own: a `runserver` that is killed can clean up nothing, but the system closes
its end of the pipe. SIGHUP starts the command anew. At the
end FOLDER, where its configuration lies, is removed. Standard library only, nothing of Django.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any

PATIENCE_SECONDS = 5.0
PR_SET_PDEATHSIG = 1
# Loaded before there is a thread: what runs between fork and exec must load nothing.
C_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None


class Leash:
    """The command, and the end of it."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None
        self.again = False
        self.ending = False

    def run(self) -> int:
        """Runs the command until stdin ends or it ends by itself."""
        threading.Thread(target=self.watch, daemon=True).start()
        while True:
            self.again = False
            self.process = subprocess.Popen(  # noqa: S603
                self.command,
                stdin=subprocess.DEVNULL,
                # It calls one function of the C library and takes no lock.
                preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )
            if self.ending:
                self.process.terminate()
            code = self.process.wait()
            if self.ending or not self.again:
                return code

    def watch(self) -> None:
        """Waits for the end of stdin, which nobody writes to."""
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        self.ending = True
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def renew(self, *_: Any) -> None:
        """Starts the command anew, with what its configuration says by now."""
        self.again = True
        if self.process is not None:
            self.process.terminate()


def die_with_parent() -> None:
    """Ends the command if this process is killed."""
    assert C_LIBRARY is not None  # noqa: S101
    C_LIBRARY.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """Ctrl-C is for `runserver`, whose end ends the pipe."""
    folder, *command = sys.argv[1:]
    leash = Leash(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, leash.renew)
    try:
        return leash.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
