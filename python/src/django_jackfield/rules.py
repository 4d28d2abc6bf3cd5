"""Rules of handlers: what `@on` and `@rpc` say beside the name."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import PermissionDenied

from django_jackfield.documents import RESERVED
from django_jackfield.registry import Function, registry

if TYPE_CHECKING:
    from django_jackfield.context import Context

F = TypeVar("F", bound=Function)
Permission = str | Iterable[str] | Callable[["Context"], bool]
Duration = float | str | timedelta

ORDERINGS = ("connection", "channel", "user")
MARK = "_jackfield_rules"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_RATE = re.compile(r"(\d+)\s*/\s*(\d*)\s*(s|m|h|d)")
_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many events in so many seconds, of each connection."""

    count: int
    seconds: float

    @classmethod
    def read(cls, said: str | Rate) -> Rate:
        """Reads `5/s`, `30/m`, `100/10s`."""
        if isinstance(said, Rate):
            return said
        found = _RATE.fullmatch(str(said).strip())
        if found is None or int(found[1]) < 1 or found[2] == "0":
            raise ValueError(f"rate={said!r}: write a count and a time, such as '5/s' or '100/10s'")
        return cls(int(found[1]), int(found[2] or 1) * _UNITS[found[3]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a handler is run. Times are in seconds."""

    name: str = ""
    listener: str = ""
    permission: Permission | None = None
    rate: Rate | None = None
    retry: int = 0
    backoff: float = 1.0
    batch: int = 1
    timeout: float | None = None
    debounce: float = 0.0
    task: Any = None
    once: bool = False
    relay: bool = False

    def pause(self, failures: int) -> float:
        """How long to wait after so many failures: twice as long each time, an hour at most."""
        return min(self.backoff * 2.0 ** (failures - 1), 3600.0)

    def check_permission(self, ctx: Context) -> None:
        """Raises PermissionDenied unless the user of the event may."""
        wanted = self.permission
        if wanted is None:
            return
        if callable(wanted):
            allowed = bool(wanted(ctx))
        else:
            names = [wanted] if isinstance(wanted, str) else list(wanted)
            allowed = ctx.user.has_perms(names)
        if not allowed:
            raise PermissionDenied(f"{self.name!r} needs the permission {_words(wanted)}")


PLAIN = Rule()
"""The rule of a handler that says nothing."""


def rule_of(function: Function, name: str) -> Rule:
    """What a function says about the event or the method of this name."""
    rules: dict[str, Rule] = getattr(function, MARK, {})
    return rules.get(name, PLAIN)


def seconds(said: Duration, what: str) -> float:
    """Reads `2`, `0.5`, `"2s"`, `"500ms"` or a timedelta."""
    if isinstance(said, timedelta):
        value = said.total_seconds()
    elif isinstance(said, int | float) and not isinstance(said, bool):
        value = float(said)
    else:
        found = _DURATION.fullmatch(str(said).strip())
        if found is None:
            raise ValueError(f"{what}={said!r}: write seconds, such as 2, '2s' or '500ms'")
        value = float(found[1]) * _UNITS[found[2]]
    if value <= 0:
        raise ValueError(f"{what}={said!r}: a time is more than 0")
    return value


def on(
    event: str,
    *,
    listener: str = "",
    from_listener: str = "",
    permission: Permission | None = None,
    rate: str | Rate | None = None,
    retry: int = 0,
    backoff: Duration = 1.0,
    batch: int = 1,
    timeout: Duration | None = None,
    debounce: Duration | None = None,
    task: Any = None,
    once: bool = False,
    relay: bool = False,
) -> Callable[[F], F]:
    """Declares a handler of messages named `event`.

    On a method of a Channel: `(self, ctx, data, **params)`. On a function: `(ctx, data)`, for
    messages that no Channel takes. `listener` (or `from_listener`): only those of one listener.

    `permission`: a name, names, or a function `(ctx)`; without it the message is dropped.
    `rate`: `"5/s"` of each connection; what is more is dropped.
    `retry`, `backoff`: a handler that raises is tried so many times more, after 1, 2, 4...
    times `backoff`; what comes after it in its lane waits.
    `batch`: the handler gets a list of up to so many data, with all their contexts in `ctx.batch`.
    `timeout`: a handler that runs longer is reported with its stack; an async one is ended.
    `debounce`: only the last of a burst is handled, when nothing came for this long.
    `task`: a task of django.tasks that is enqueued with the dict that the handler returns.
    `once`: needs `django_jackfield.inbox`; an event that comes again is not handled again.
    `relay`: the server hands it to the channel's subscribers by itself.
    """
    if listener and from_listener and listener != from_listener:
        raise TypeError(f"@on({event!r}): listener= and from_listener= are one thing: give one")
    rule = _checked(
        f"@on({event!r})",
        Rule(
            name=event,
            listener=listener or from_listener,
            permission=permission,
            rate=None if rate is None else Rate.read(rate),
            retry=retry,
            backoff=seconds(backoff, "backoff"),
            batch=batch,
            timeout=None if timeout is None else seconds(timeout, "timeout"),
            debounce=0.0 if debounce is None else seconds(debounce, "debounce"),
            task=task,
            once=once,
            relay=relay,
        ),
    )

    def declare(function: F) -> F:
        _mark(function, event, rule)
        if "." not in _local_name(function):
            registry.add("@on", registry.messages, (event, rule.listener), function)
        return function

    return declare


def rpc(
    method: str,
    *,
    permission: Permission | None = None,
    rate: str | Rate | None = None,
    timeout: Duration | None = None,
    once: bool = False,
) -> Callable[[F], F]:
    """Declares a function that clients call: `(ctx, data)`, or `(ctx, pk, title)` by name.

    `permission`: without it the client gets error 103; `rate`: what is more gets error 111.
    `timeout`, `once`: as those of `@on`.
    """
    if method.startswith(RESERVED):
        raise ValueError(f"@rpc({method!r}): names that begin with {RESERVED!r} are the server's")
    rule = Rule(
        name=method,
        permission=permission,
        rate=None if rate is None else Rate.read(rate),
        timeout=None if timeout is None else seconds(timeout, "timeout"),
        once=once,
    )

    def declare(function: F) -> F:
        _mark(function, f"rpc {method}", rule)
        registry.add("@rpc", registry.rpcs, method, function)
        return function

    return declare


class Allowance:
    """Counts the events of each connection under each rule. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: OrderedDict[tuple[str, str, str], tuple[float, float]] = OrderedDict()

    def take(self, rate: Rate, key: tuple[str, str, str]) -> bool:
        """Whether one more is allowed; it flows back evenly with time."""
        now = time.monotonic()
        with self._lock:
            tokens, before = self._spent.pop(key, (float(rate.count), now))
            tokens = min(rate.count, tokens + (now - before) * rate.count / rate.seconds)
            allowed = tokens >= 1
            self._spent[key] = (tokens - 1 if allowed else tokens, now)
            if len(self._spent) > _REMEMBERED:
                self._spent.popitem(last=False)
        return allowed


def _checked(who: str, rule: Rule) -> Rule:
    for name in ("retry", "batch"):
        value = getattr(rule, name)
        least = 1 if name == "batch" else 0
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{who}: {name}={value!r} is no number from {least}")
    many = [
        name
        for name, given in (
            ("batch", rule.batch > 1),
            ("debounce", rule.debounce > 0),
            ("once", rule.once),
        )
        if given
    ]
    if len(many) > 1:
        raise ValueError(f"{who}: {' and '.join(many)} do not go together: choose one")
    return rule


def _mark(function: Function, name: str, rule: Rule) -> None:
    # A dict of its own for each function: a wrapper made by functools.wraps shares that of the
    # function it wraps.
    setattr(function, MARK, {**getattr(function, MARK, {}), name: rule})


def _local_name(function: Function) -> str:
    """The qualified name inside the innermost function, so `A.say` for a method."""
    return function.__qualname__.rsplit("<locals>.", 1)[-1]


def _words(permission: Permission) -> str:
    if isinstance(permission, str):
        return repr(permission)
    if callable(permission):
        return getattr(permission, "__name__", repr(permission))
    return " and ".join(map(repr, permission))
