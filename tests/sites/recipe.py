"""Recipes: the blocks of a docs page, with the names of the test in place of those of the page."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of code of a page; `path` is the file that its first line names."""

    language: str
    text: str

    @property
    def path(self) -> str:
        match = re.match(r"^(?:#|//) (/\S+)$", self.text.split("\n", 1)[0])
        return match[1] if match else ""


class Recipe:
    """A page of docs/ that can be carried out."""

    def __init__(self, page: str, names: Mapping[str, str]):
        self.page = page
        self.names = names
        text = (DOCS / page).read_text()
        self.used: set[str] = set()
        self.blocks = [Block(language, self.named(body)) for language, body in FENCE.findall(text)]
        unused = set(names) - self.used
        assert not unused, f"{page} does not say {sorted(unused)}"

    def named(self, text: str) -> str:
        """The text with each name replaced, once and by the longest that fits."""
        known = sorted(self.names, key=len, reverse=True)
        fits = re.compile("|".join(re.escape(name) for name in known))

        def other(match: re.Match[str]) -> str:
            self.used.add(match[0])
            return self.names[match[0]]

        return fits.sub(other, text)

    def file(self, suffix: str) -> Block:
        """The block that is the file whose name ends so."""
        found = [block for block in self.blocks if block.path.endswith(suffix)]
        assert len(found) == 1, f"{self.page} has {len(found)} blocks for {suffix}"
        return found[0]

    def write(self, suffix: str, *, append: bool = False) -> Path:
        """Writes that file where its first line says."""
        block = self.file(suffix)
        path = Path(block.path)
        before = path.read_text() + "\n\n" if append else ""
        path.write_text(before + block.text)
        return path

    def commands(self, word: str) -> list[str]:
        """The commands of the one console block that has this word."""
        found = [block for block in self.blocks if block.language == "console" and word in block.text]
        assert len(found) == 1, f"{self.page} has {len(found)} console blocks with {word!r}"
        lines = found[0].text.splitlines()
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]

    def run(
        self,
        word: str,
        *,
        env: Mapping[str, str],
        instead: Callable[[str], str | None] = lambda command: command,
    ) -> str:
        """Runs that block in one shell, line by line until one fails; what it says.

        `instead` gives what a line is here, None for nothing: no test installs packages or asks systemd.
        """
        lines = [instead(line.replace("sudo ", "")) for line in self.commands(word)]
        script = "\n".join(line for line in lines if line)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=dict(env),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{self.page}: {shlex.quote(script)}\n{said}"
        return said
