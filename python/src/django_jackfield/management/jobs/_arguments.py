"""Kinds of arguments that several jobs take."""

from __future__ import annotations

from argparse import ArgumentTypeError


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


def numbers(text: str) -> list[int]:
    """Partitions, such as `0,1,4-7`."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise ArgumentTypeError(f"{text!r} is no list of partitions such as 0,1,4-7")
        found |= set(range(int(first), int(last or first) + 1))
    return sorted(found)
