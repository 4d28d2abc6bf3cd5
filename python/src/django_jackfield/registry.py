"""The handlers that the realtime.py files of a project declare."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import autodiscover_modules

from django_jackfield.errors import DiscoveryError

if TYPE_CHECKING:
    from django_jackfield.channel import Channel

Function = Callable[..., Any]

logger = logging.getLogger("django_jackfield")


@dataclass(frozen=True, slots=True)
class Match:
    """A channel class whose pattern fits a name, and the values it holds."""

    channel: type[Channel]
    params: dict[str, Any]


@dataclass(slots=True)
class Registry:
    """Every declaration, in the order of import."""

    channels: list[type[Channel]] = field(default_factory=list)
    messages: dict[tuple[str, str], Function] = field(default_factory=dict)
    rpcs: dict[str, Function] = field(default_factory=dict)
    connecting: dict[str, Function] = field(default_factory=dict)
    refreshing: dict[str, Function] = field(default_factory=dict)
    connected: list[Function] = field(default_factory=list)
    disconnected: list[Function] = field(default_factory=list)
    notices: dict[str, list[Function]] = field(default_factory=dict)

    def match(self, name: str) -> Match | None:
        """The first channel class that fits a channel name."""
        for channel in self.channels:
            params = channel.match(name)
            if params is not None:
                return Match(channel, params)
        return None

    def message(self, event: str, listener: str) -> Function | None:
        """The function for a message without a channel class, of this listener or of any."""
        return self.messages.get((event, listener)) or self.messages.get((event, ""))

    def connecting_for(self, listener: str) -> Function | None:
        """The function that decides who connects, of this listener or of any."""
        return self.connecting.get(listener) or self.connecting.get("")

    def refreshing_for(self, listener: str) -> Function | None:
        """The function that decides who stays, of this listener or of any."""
        return self.refreshing.get(listener) or self.refreshing.get("")

    def add(self, kind: str, table: dict[Any, Function], key: Any, function: Function) -> None:
        """Adds a function, and refuses a second one for the same key."""
        other = table.get(key)
        if other is not None and _place(other) != _place(function):
            raise ValueError(f"{kind} {key!r} is taken by {_place(other)}: choose another name")
        table[key] = function

    def summary(self) -> str:
        """What is declared, in words."""
        counts = {
            "channel": len(self.channels),
            "message function": len(self.messages),
            "rpc": len(self.rpcs),
            "lifecycle function": len(self.connecting)
            + len(self.refreshing)
            + len(self.connected)
            + len(self.disconnected)
            + sum(map(len, self.notices.values())),
        }
        said = [f"{n} {name}{'s' if n != 1 else ''}" for name, n in counts.items() if n]
        return ", ".join(said) or "no handlers (is there a realtime.py in an installed app?)"


registry = Registry()
_discovery = threading.RLock()
_discovered = False
_fault: DiscoveryError | None = None


def discover() -> Registry:
    """Imports realtime.py of every installed app, once.

    Raises DiscoveryError where one cannot be imported, and then each time: half of its
    declarations are here already, and a second import would bring them again.
    """
    global _discovered, _fault
    with _discovery:
        if not _discovered:
            _discovered = True  # Before: a realtime.py may publish while it is imported.
            try:
                autodiscover_modules("realtime")
            except Exception as error:
                _fault = DiscoveryError(_last_words(error))
                raise _fault from error
        elif _fault is not None:
            raise DiscoveryError(str(_fault)) from _fault.__cause__
    return registry


def discovered_quietly() -> Registry:
    """`discover` for code that must go on where a realtime.py is broken: that is told once."""
    fresh = _fault is None
    try:
        return discover()
    except DiscoveryError as error:
        if fresh:
            logger.error("%s", error, exc_info=error.__cause__)
        return registry


def _last_words(error: Exception) -> str:
    """Where a realtime.py broke, or what it imports, and on what."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.endswith("realtime.py")]
    # The last file that was being imported; what it calls is not where the fault lies.
    imported = [frame.filename for frame in frames if frame.name == "<module>"][-1:]
    last = [frame for frame in frames if frame.filename in imported] or own
    places = [f"{frame.filename}, line {frame.lineno}" for frame in (*own[-1:], *last[-1:])]
    words = str(error)
    if isinstance(error, SyntaxError) and error.filename:
        places.append(f"{error.filename}, line {error.lineno}")
        words = error.msg
    place = ", which imports ".join(dict.fromkeys(places)) or "realtime.py"
    # Of a message of many lines, the first says what it is about.
    first = words.strip().partition("\n")[0]
    return f"{place}: {type(error).__name__}{': ' if first else ''}{first}"


@contextmanager
def isolated() -> Iterator[Registry]:
    """An empty registry for the length of a test, with nothing left to discover."""
    global _discovered, _fault
    known = _discovered, _fault
    _discovered, _fault = True, None
    kept = {name: getattr(registry, name) for name in Registry.__slots__}
    for name, value in kept.items():
        setattr(registry, name, type(value)())
    try:
        yield registry
    finally:
        _discovered, _fault = known
        for name, value in kept.items():
            setattr(registry, name, value)


def _place(function: Function) -> str:
    return f"{function.__module__}.{function.__qualname__}"
