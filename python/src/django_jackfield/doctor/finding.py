"""What the doctor finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: fine, worth a note, or a problem and what helps."""

    subject: str
    state: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<8} {self.subject}: {self.text}"
        return f"{line}\n{'':<8} {'->':>2} {self.remedy}" if self.remedy else line

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def ok(subject: str, text: str) -> Finding:
    """Nothing is wrong."""
    return Finding(subject, OK, text)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Not wrong, but somebody should know."""
    return Finding(subject, NOTE, text, remedy)


def problem(subject: str, text: str, remedy: str) -> Finding:
    """Wrong, and what helps."""
    return Finding(subject, PROBLEM, text, remedy)
