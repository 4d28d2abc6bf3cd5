"""Chromium as the visitors of a site: a node process that does what it is told, line by line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from authority import Authority

HERE = Path(__file__).parent


def trusting(authority: Authority, home: Path) -> Path:
    """A home whose browser trusts the authority."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for arguments in (
        ["-N", "--empty-password"],
        ["-A", "-n", "test authority", "-t", "C,,", "-i", str(authority.certificate)],
    ):
        subprocess.run(["certutil", "-d", f"sql:{store}", *arguments], check=True, timeout=60)
    return home


class Browser:
    """Pages by name, each a visitor with cookies of its own."""

    def __init__(self, home: Path):
        self.home = home

    def __enter__(self) -> Browser:
        self.process = subprocess.Popen(
            ["node", "pages.mjs"],
            cwd=HERE,
            env={**os.environ, "JACKFIELD_HOME": str(self.home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def _do(self, deed: str, **told: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"deed": deed, **told}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the browser's process has ended"
        answer = json.loads(line)
        assert "error" not in answer, f"{deed} {told}: {answer['error']}"
        return answer["value"]

    def open(self, page: str, url: str) -> Any:
        return self._do("open", page=page, url=url)

    def login(self, page: str, name: str, password: str) -> str:
        return self._do("login", page=page, name=name, password=password)

    def order(self, page: str, what: str) -> None:
        self._do("order", page=page, what=what)

    def evaluate(self, page: str, code: str) -> Any:
        return self._do("evaluate", page=page, code=code)

    def wait(self, page: str, code: str) -> None:
        """Waits until the expression is true in the page."""
        self._do("wait", page=page, code=code)
