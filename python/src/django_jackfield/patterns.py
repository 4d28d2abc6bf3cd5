"""Patterns of channel names: the namespace they are in, as the server knows it, and overlaps."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_jackfield.channel import Channel

_PLACE = re.compile(r"<(?:(?P<converter>[^>:]+):)?(?P<name>[^>]+)>")
_NAMESPACE = re.compile(r"[A-Za-z0-9_-]+")
_BEYOND_THE_SERVER = re.compile(r"\(\?[=!<]|\\[1-9AZ]|\(\?P=")
PRIVATE = "$"
BOUNDARY = ":"


class PatternError(ValueError):
    """A pattern that the server cannot be told."""


@dataclass(frozen=True, slots=True)
class Place:
    """A value in a pattern: `<int:pk>`."""

    name: str
    converter: str
    regex: str


@dataclass(frozen=True, slots=True)
class Home:
    """The namespace of a pattern, empty for none, and what a name must fit there."""

    namespace: str
    regex: str


def pieces(channel: type[Channel]) -> list[str | Place]:
    """A pattern as texts and places, in turns."""
    found: list[str | Place] = []
    end = 0
    pattern = channel.pattern
    converters = channel._route.converters
    for place in _PLACE.finditer(pattern):
        if place.start() > end:
            found.append(pattern[end : place.start()])
        name = place["name"]
        found.append(Place(name, place["converter"] or "str", converters[name].regex))
        end = place.end()
    if end < len(pattern):
        found.append(pattern[end:])
    return found


def names(pattern: str) -> list[str]:
    """The names of the values in a pattern, in order."""
    return [place["name"] for place in _PLACE.finditer(pattern)]


def home(channel: type[Channel]) -> Home:
    """Where the server looks up the channels of a class. Raises PatternError."""
    parts = pieces(channel)
    if channel.pattern.startswith("/"):
        return Home(_path(channel.pattern, parts), regex_of(parts))
    if isinstance(parts[0], str) and parts[0].startswith(PRIVATE):
        parts = [parts[0][len(PRIVATE) :], *parts[1:]]
        parts = parts if parts[0] else parts[1:]
    if not parts:
        raise PatternError(f"the pattern {channel.pattern!r} names no channel")
    head = parts[0]
    if not isinstance(head, str) or BOUNDARY not in head:
        _needs_no_boundary(channel.pattern, parts)
        return Home("", regex_of(parts))
    namespace, rest = head.split(BOUNDARY, 1)
    if not _NAMESPACE.fullmatch(namespace):
        raise PatternError(
            f"the pattern {channel.pattern!r} begins with the namespace {namespace!r}; the server "
            "takes letters, digits, _ and - before the first ':'"
        )
    return Home(namespace, regex_of([rest, *parts[1:]] if rest else parts[1:]))


def regex_of(parts: list[str | Place]) -> str:
    """What the server holds names against; of what it cannot read, only that there is something."""
    return "".join(
        _escaped(part)
        if isinstance(part, str)
        else ".+"
        if _BEYOND_THE_SERVER.search(part.regex)
        else f"(?:{part.regex})"
        for part in parts
    )


def witness(one: type[Channel], other: type[Channel]) -> str | None:
    """A name that both patterns take, if a search finds one.

    The search is over single characters and knows the converters of Django; a name that it finds
    is held against both patterns, so a converter of a project may hide an overlap and never
    invents one.
    """
    first, second = _steps(one), _steps(other)
    alphabet = sorted(
        set("0a-_/.Z")
        | {
            character
            for part in (*pieces(one), *pieces(other))
            if isinstance(part, str)
            for character in part
        }
    )
    seen = {(0, 0)}
    waiting: deque[tuple[int, int, str]] = deque([(0, 0, "")])
    while waiting:
        here, there, text = waiting.popleft()
        if here == len(first) and there == len(second):
            if one.match(text) is not None and other.match(text) is not None:
                return text
            continue
        for character in alphabet:
            for next_here in _moves(first, here, character):
                for next_there in _moves(second, there, character):
                    if (next_here, next_there) not in seen:
                        seen.add((next_here, next_there))
                        waiting.append((next_here, next_there, text + character))
    return None


Step = tuple[Callable[[str], bool], bool]


def _moves(steps: list[Step], at: int, character: str) -> Iterator[int]:
    """Where one character leads: a step that repeats is done or goes on."""
    if at < len(steps):
        fits, repeats = steps[at]
        if fits(character):
            yield at + 1
            if repeats:
                yield at


def _steps(channel: type[Channel]) -> list[Step]:
    steps: list[Step] = []
    for part in pieces(channel):
        if isinstance(part, str):
            steps += [(_is(character), False) for character in part]
        elif part.converter == "uuid":
            for length in (8, 4, 4, 4, 12):
                steps += [(_is("-"), False)] if length != 8 else []
                steps += [(_one_of("[0-9a-f]"), False)] * length
        else:
            known = {"int": "[0-9]", "str": "[^/]", "slug": "[-a-zA-Z0-9_]"}
            steps.append((_one_of(known.get(part.converter, "(?s:.)")), True))
    return steps


@lru_cache(maxsize=256)
def _is(wanted: str) -> Callable[[str], bool]:
    return lambda character: character == wanted


@lru_cache(maxsize=16)
def _one_of(wanted: str) -> Callable[[str], bool]:
    fits = re.compile(wanted).fullmatch
    return lambda character: fits(character) is not None


def _path(pattern: str, parts: list[str | Place]) -> str:
    """A pattern of whole names: `/rooms/<int:pk>` is `/rooms/:pk`."""
    for part in parts:
        if isinstance(part, Place) and "/" in _sample(part):
            raise PatternError(
                f"the pattern {pattern!r} has <{part.converter}:{part.name}>, which may hold a "
                "'/'; after a leading '/' the server knows one part for each value. Write the "
                "pattern with a namespace before ':'"
            )
    text = _PLACE.sub(lambda place: f":{place['name']}", pattern)
    for part in text.split("/")[1:]:
        if not part or (":" in part and not re.fullmatch(r":[A-Za-z0-9_]+", part)):
            raise PatternError(
                f"the part {part!r} of the pattern {pattern!r}: after a leading '/' the server "
                "takes a word or one value for each part, never both"
            )
    return text


def _needs_no_boundary(pattern: str, parts: list[str | Place]) -> None:
    """A name with a ':' behind its first value would be in a namespace that nobody knows."""
    for part in parts:
        if BOUNDARY in (part if isinstance(part, str) else _sample(part)):
            what = repr(part) if isinstance(part, str) else f"<{part.converter}:{part.name}>"
            raise PatternError(
                f"the pattern {pattern!r}: {what} may hold a ':', and what stands before the "
                "first ':' is the namespace, which must be plain text. Write the pattern as "
                f"'name:{pattern}'"
            )


def _sample(place: Place) -> str:
    """Characters that a value may hold, of those that mean something to the server."""
    if place.converter == "str":
        return ""  # Why: it takes a ':' too, but that the server's own rule for names refuses.
    compiled = re.compile(place.regex)
    return "".join(one for one in ":/" if compiled.fullmatch(f"a{one}a"))


def _escaped(text: str) -> str:
    """A text as a regular expression that both Python and the server read."""
    return re.sub(r"[.^$*+?{}\[\]\\|()]", lambda found: "\\" + found[0], text)


def described(channel: type[Channel]) -> str:
    """A class as faults name it."""
    return f"{channel.__module__}.{channel.__qualname__}"
