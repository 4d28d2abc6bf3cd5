"""The fenced blocks of a page, and what each is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FENCE = re.compile(
    r"^(?P<fence>```+)(?P<language>[\w{}-]*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"^(?:#|//) (?P<file>[\w/.@-]+\.(?:py|js|conf|toml|service))\b")


@dataclass(frozen=True)
class Block:
    """One of them. `number` counts those of its page from 1; `line` is that of the fence."""

    page: str
    number: int
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """The file that it is said to be, or to stand in; empty if that is not said."""
        if self.title:
            return self.title.partition(", ")[0]
        told = FILE.match(self.text)
        return told["file"] if told else ""

    @property
    def is_settings(self) -> bool:
        """A block of a settings file: it says so, or assigns names of settings and does nothing."""
        if self.file:
            return self.file.endswith("settings.py")
        names = [
            line for line in self.text.splitlines() if line[:1].strip() and line[0] not in "#])}"
        ]
        return bool(names) and all(
            re.match(r"[A-Z][A-Z_]+\b.*=|from |import ", line) for line in names
        )

    @property
    def declares(self) -> bool:
        """Whether it is the stuff of a realtime.py."""
        return bool(
            re.search(
                r"^class \w+\((Model)?Channel\):|^@(on|rpc|connect\w+|refreshing)\b",
                self.text,
                re.M,
            )
        )

    @property
    def is_test(self) -> str:
        """`unittest`, `pytest`, or empty."""
        if re.search(r"^class \w+\(.*TestCase\):", self.text, re.M):
            return "unittest"
        return "pytest" if re.search(r"^def test_", self.text, re.M) else ""

    @property
    def commands(self) -> list[str]:
        """The commands of a console: what is typed behind `$ `, or every line of a script."""
        if self.language == "console":
            return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return [line for line in self.text.splitlines() if line.strip()]


def pages() -> list[Path]:
    """Those whose blocks are run."""
    return [*sorted((ROOT / "docs").glob("django*.md")), ROOT / "python" / "README.md"]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, without those that Sphinx reads."""
    text = page.read_text()
    name = str(page.relative_to(ROOT))
    found = [
        (text.count("\n", 0, one.start()) + 1, one)
        for one in FENCE.finditer(text)
        if "{" not in one["language"]
    ]
    return [
        Block(name, number, line, one["language"], one["title"] or "", one["text"])
        for number, (line, one) in enumerate(found, 1)
    ]
