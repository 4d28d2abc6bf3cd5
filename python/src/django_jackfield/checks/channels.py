"""System checks of what realtime.py declares: patterns, options, signatures, models."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register

from django_jackfield import namespaces
from django_jackfield.access import overrides
from django_jackfield.channel import Channel
from django_jackfield.checks import TAG
from django_jackfield.errors import DiscoveryError
from django_jackfield.patterns import PatternError, described, home, names, witness
from django_jackfield.registry import Function, Registry, discover, registry

_HOOKS = ("can_subscribe", "can_publish", "can_stay")
_NOTICES = ("on_subscribe", "on_leave")
_STORE: dict[str, tuple[str, ...]] = {
    "load_document": (),
    "save_document": ("update", "replaces"),
}


def check_declarations(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E014, or E011, E012, E015, E016, W010 and W013 of all that is declared."""
    try:
        discover()
    except DiscoveryError as error:
        return [
            Error(
                f"A realtime.py cannot be imported: {error}",
                hint="Until it can, nothing of it is heard, and no worker starts.",
                id="jackfield.E014",
            )
        ]
    return [*_options(registry), *_overlaps(registry), *_signatures(registry)]


def register_checks() -> None:
    """Called by the app config."""
    register(check_declarations, TAG)


def _options(declared: Registry) -> Iterator[CheckMessage]:
    for channel in declared.channels:
        for fault in namespaces.faults(channel):
            yield Error(f"{described(channel)}: {fault}", obj=channel, id="jackfield.E016")
        reason = namespaces.unheard(channel)
        if reason is not None:
            yield Warning(
                f"{described(channel)}: {reason}.",
                hint="Give what clients publish to each other a class and a namespace of its own.",
                obj=channel,
                id="jackfield.W010",
            )
        if channel.option("document") and not overrides(channel, "can_publish"):
            yield Warning(
                f"{described(channel)}: nobody may write in its documents.",
                hint="Override can_publish: it says who does, when a user comes in.",
                obj=channel,
                id="jackfield.W013",
            )
    for conflict in namespaces.conflicts(declared):
        yield Error(
            str(conflict),
            hint="The server keeps options by namespace: what stands before the first ':' of a "
            "name. Declare the same in both classes, or begin one pattern with another name.",
            obj=conflict.other,
            id="jackfield.E015",
        )


def _overlaps(declared: Registry) -> Iterator[CheckMessage]:
    placed = []
    for channel in declared.channels:
        try:
            placed.append((channel, home(channel).namespace))
        except PatternError:
            continue
    for (one, here), (other, there) in combinations(placed, 2):
        # Two paths may have different names and take the same; other namespaces never do.
        if here != there and not (here.startswith("/") and there.startswith("/")):
            continue
        name = witness(one, other)
        if name is not None:
            yield Error(
                f"{described(one)} ({one.pattern!r}) and {described(other)} ({other.pattern!r}) "
                f"both take the channel {name!r}; the first would have them all.",
                hint="Change one pattern so that no name fits both.",
                obj=other,
                id="jackfield.E011",
            )


def _signatures(declared: Registry) -> Iterator[CheckMessage]:
    for channel in declared.channels:
        values = dict.fromkeys(names(channel.pattern))
        called = ", ".join(values)
        for event, name in channel.handlers.items():
            takes = ", ".join(filter(None, ("self", "ctx", "data", called)))
            yield from _fits(
                getattr(channel, name),
                (None, None, None),
                values,
                f"{described(channel)}.{name} handles {event!r}",
                takes,
            )
        for name, first in (
            *((hook, ("user",)) for hook in _HOOKS),
            *((hook, ("ctx",)) for hook in _NOTICES),
            *_STORE.items(),
        ):
            method = getattr(channel, name, None)
            if method is None or method is getattr(Channel, name, None):
                continue
            takes = ", ".join(filter(None, ("self", *first, called)))
            what = f"{described(channel)}.{name} is asked"
            yield from _fits(method, (None,) * (1 + len(first)), values, what, takes)
    for (event, _), function in declared.messages.items():
        yield from _function(function, (None, None), f"handles {event!r}", "ctx, data")
    for listener, function in declared.connecting.items():
        which = f" of {listener!r}" if listener else ""
        yield from _function(function, (None, None), f"decides who connects{which}", "ctx, data")
    hearing = [*declared.refreshing.values(), *declared.connected, *declared.disconnected]
    for function in (*hearing, *(one for many in declared.notices.values() for one in many)):
        yield from _function(function, (None,), "is told of connections", "ctx")


def _function(
    function: Function, positions: tuple[None, ...], what: str, takes: str
) -> Iterator[CheckMessage]:
    name = f"{function.__module__}.{function.__qualname__}"
    yield from _fits(function, positions, {}, f"{name} {what}", takes)


def _fits(
    function: Function, positions: tuple[None, ...], values: dict[str, None], what: str, takes: str
) -> Iterator[CheckMessage]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*positions, **values)
    except TypeError as error:
        yield Error(
            f"{what} with ({takes}), but its signature is {signature}: {error}.",
            hint=f"Write it as ({takes}).",
            obj=function,
            id="jackfield.E012",
        )
