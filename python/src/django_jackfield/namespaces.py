"""From channel classes to the namespaces of the server's configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_jackfield import options as option
from django_jackfield.access import ACCESSES, access_of, overrides
from django_jackfield.channel import OPTION_NAMES, Channel
from django_jackfield.documents import stores
from django_jackfield.patterns import PatternError, described, home
from django_jackfield.registry import Registry
from django_jackfield.signals import (
    channel_occupied,
    channel_vacated,
    client_subscribed,
    client_unsubscribed,
    message_undelivered,
)
from django_jackfield.toml import toml

__all__ = [
    "Conflict",
    "Namespace",
    "access",
    "conflicts",
    "faults",
    "namespaces",
    "server_config",
    "toml",
]

BASE_EVENTS = ("connect", "disconnect", "message")
_SIGNALS = {
    "subscribe": client_subscribed,
    "unsubscribe": client_unsubscribed,
    "occupied": channel_occupied,
    "vacated": channel_vacated,
    "undelivered": message_undelivered,
}
_HOOKS = {"on_subscribe": "subscribe", "on_leave": "unsubscribe"}


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace of the server (`name` is empty for names without one), and whose it is."""

    name: str
    options: dict[str, Any]
    classes: tuple[type[Channel], ...]

    def table(self) -> dict[str, Any]:
        """As the server's file has it."""
        return ({"name": self.name} if self.name else {}) | option.nested(self.options)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two classes that want different things of one namespace."""

    one: type[Channel]
    other: type[Channel]
    name: str
    options: tuple[str, ...]

    def __str__(self) -> str:
        where = f"the namespace {self.name!r}" if self.name else "the names without a namespace"
        return (
            f"{described(self.one)} and {described(self.other)} are both in {where}, but want "
            f"different things of it: {', '.join(self.options)}."
        )


def server_config(registry: Registry) -> dict[str, Any]:
    """What the declarations of a project need in the server's file.

    Raises ImproperlyConfigured where they contradict each other or cannot be told to the server.
    """
    wrong = [
        f"{described(channel)}: {fault}"
        for channel in registry.channels
        for fault in (*faults(channel), *_access_faults(channel))
    ] or [str(conflict) for conflict in conflicts(registry)]
    if wrong:
        raise ImproperlyConfigured(" ".join(wrong))
    found = namespaces(registry)
    channel: dict[str, Any] = {}
    for namespace in found:
        if not namespace.name:
            channel["without_namespace"] = namespace.table()
    tables = [namespace.table() for namespace in found if namespace.name]
    if tables:
        channel["namespaces"] = tables
    document: dict[str, Any] = {"client": _client(registry), "channel": channel}
    if any(namespace.options.get("durable") for namespace in found):
        document["history"] = {"path": "jackfield-history"}
    has_documents = any(namespace.options.get("document") for namespace in found)
    if has_documents:
        document["yjs"] = {"enabled": True}
    document["rpc"] = _rpc(registry, has_documents=has_documents)
    document["app_link"] = {"events": events(registry)}
    return {name: table for name, table in document.items() if table}


def namespaces(registry: Registry) -> list[Namespace]:
    """The namespaces of all classes, in the order of their declaration."""
    found: dict[str, Namespace] = {}
    regexes: dict[str, list[str]] = {}
    for channel in registry.channels:
        place = home(channel)
        known = found.get(place.namespace)
        if known is None:
            found[place.namespace] = Namespace(place.namespace, wanted(channel), (channel,))
        else:
            classes = (*known.classes, channel)
            found[place.namespace] = Namespace(known.name, known.options, classes)
        regexes.setdefault(place.namespace, []).append(place.regex)
    for name, several in regexes.items():
        # Why: a name that no class takes is nobody's, and the server alone knows it as early.
        found[name].options.setdefault("channel_regex", _one_of(several))
    return list(found.values())


def wanted(channel: type[Channel]) -> dict[str, Any]:
    """The options that a class wants of its namespace, all but the pattern of its names."""
    found: dict[str, Any] = {}
    found |= _rights(channel)
    history = channel.option("history")
    if history is not None:
        found |= history.options()
    if channel.option("presence"):
        found |= {"presence": True, "allow_presence_for_subscriber": True}
    for name in ("join_leave", "snapshot"):
        if channel.option(name):
            found[name] = True
    delivery = channel.option("delivery")
    if delivery != "all":
        found["delivery"] = delivery
    if channel.option("binary"):
        found["publication_data_format"] = "binary"
    document = channel.option("document")
    if document:
        found["document"] = document
    rate = channel.option("rate")
    if rate is not None:
        found["publish_rate"] = option.per_second(rate)
    more = option.flat(channel.option("options"))
    return found | {
        name: option.duration(value) if option.is_time(name) else value
        for name, value in more.items()
    }


def access(channel: type[Channel]) -> str:
    """Who may subscribe; a class that says nothing lets in who has a token for it."""
    return access_of(channel) or "token"


def relays(channel: type[Channel]) -> bool:
    """Whether clients publish to each other without the application."""
    if channel.option("relay"):
        return True
    return any(_is_relayed(channel, event) for event in channel.handlers)


def unheard(channel: type[Channel]) -> str | None:
    """Why handlers of a class get nothing, if they do not.

    What clients publish in a namespace goes to its subscribers or to the application.
    """
    silent = ", ".join(repr(event) for event in channel.handlers if not _is_relayed(channel, event))
    if silent and overrides(channel, "can_publish"):
        return f"what can_publish allows is published: the handlers of {silent} get nothing"
    if silent and relays(channel):
        return f"relay goes to the subscribers alone: the handlers of {silent} get nothing"
    return None


def events(registry: Registry) -> list[str]:
    """The notices that somebody hears: functions, signals, hooks of classes."""
    heard = {kind for kind, functions in registry.notices.items() if functions}
    heard |= {kind for kind, signal in _SIGNALS.items() if signal.has_listeners()}
    heard |= {
        kind
        for hook, kind in _HOOKS.items()
        for channel in registry.channels
        if getattr(channel, hook, None) is not getattr(Channel, hook, None)
    }
    return [*BASE_EVENTS, *sorted(heard & _SIGNALS.keys())]


def faults(channel: type[Channel]) -> Iterator[str]:
    """A sentence for everything about a class that the server cannot be told."""
    try:
        home(channel)
    except PatternError as error:
        yield f"{error}."
    history = channel.option("history")
    if history is not None and not isinstance(history, option.History):
        yield f"history is a History(size=..., ttl=...), not {history!r}."
    for name in ("presence", "join_leave", "snapshot", "binary"):
        if not isinstance(channel.option(name), bool):
            yield f"{name} is True or False, not {channel.option(name)!r}."
    relay = channel.option("relay")
    if not isinstance(relay, bool) and (
        isinstance(relay, str) or not all(isinstance(one, str) for one in relay)
    ):
        yield f"relay is True or a list of the names of events, not {relay!r}."
    yield from option.faults({"delivery": channel.option("delivery")})
    yield from _document_faults(channel)
    rate = channel.option("rate")
    if rate is not None:
        try:
            option.per_second(rate)
        except ValueError as error:
            yield f"{error}."
    more = channel.option("options")
    if not isinstance(more, Mapping):
        yield f"options is a dict of options of a namespace, not {more!r}."
    else:
        yield from option.faults(option.flat(more))
    yield from _misspelt(channel)
    recovers = isinstance(history, option.History) and history.recovery
    delivery = channel.option("delivery")
    if recovers and delivery != "all" and not channel.option("snapshot"):
        yield (
            f"delivery = {delivery!r} passes slow readers by, so nobody who comes back can be told "
            "that nothing is missing. Set snapshot = True, or History(recovery=False)."
        )


def conflicts(registry: Registry) -> Iterator[Conflict]:
    """Classes that share a namespace and want different options of it."""
    first: dict[str, tuple[type[Channel], dict[str, Any]]] = {}
    for channel in registry.channels:
        if any(faults(channel)):
            continue
        place, options = home(channel), wanted(channel)
        if place.namespace not in first:
            first[place.namespace] = (channel, options)
            continue
        other, theirs = first[place.namespace]
        different = sorted(
            name
            for name in options.keys() | theirs.keys()
            if option.normal(name, options.get(name, option.DEFAULTS[name]))
            != option.normal(name, theirs.get(name, option.DEFAULTS[name]))
        )
        if different:
            yield Conflict(other, channel, place.namespace, tuple(different))


def _access_faults(channel: type[Channel]) -> Iterator[str]:
    """What the checks of rights say (E010), where no check is run."""
    if access(channel) not in ACCESSES:
        yield f"access is one of {', '.join(map(repr, ACCESSES))}, not {access(channel)!r}."


def _rights(channel: type[Channel]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    who = access(channel)
    if who in ("public", "authenticated"):
        found["allow_subscribe_for_client"] = True
    if who == "public":
        found["allow_subscribe_for_anonymous"] = True
    if who == "ask":
        found |= _asked("subscribe") | _asked("sub_refresh")
    if channel.option("document"):
        return found  # Who may write is told when somebody comes in.
    if overrides(channel, "can_publish"):
        found |= _asked("publish")
    elif relays(channel):
        found["allow_publish_for_subscriber"] = True
    elif channel.handlers:
        found |= {"allow_publish_for_subscriber": True, "publish_to": "app"}
    return found


def _document_faults(channel: type[Channel]) -> Iterator[str]:
    """What does not go together with a document, and what one needs."""
    document = channel.option("document")
    fault = next(option.faults({"document": document}), None)
    if fault is not None:
        yield fault
        return
    if not document:
        return
    if not stores(channel):
        yield (
            f"document = {document!r} needs load_document and save_document: the server keeps a "
            "document only while somebody is in it."
        )
    if channel.access == "token":
        yield (
            'access = "token" does not go with a document: no token says who may write. Give it '
            "rules, which are asked."
        )
    given = [
        name
        for name in ("history", "relay", "delivery", "snapshot")
        if channel.option(name) != getattr(Channel, name)
    ] + [f"@on({event!r})" for event in channel.handlers]
    if given:
        yield (
            f"document = {document!r} does not go together with {', '.join(given)}: what clients "
            "say there are changes of the document. Give the rest a class and a namespace of its "
            "own."
        )


def _is_relayed(channel: type[Channel], event: str) -> bool:
    """Whether `@on(event, relay=True)` says so."""
    handler = getattr(channel, channel.handlers[event])
    rules: Mapping[str, Any] = getattr(handler, "_jackfield_rules", {})
    return bool(getattr(rules.get(event), "relay", False))


def _asked(what: str) -> dict[str, Any]:
    """The application decides, over the app link, with the patience of its calls."""
    return {f"{what}_proxy_enabled": True, f"{what}_proxy_name": "app"}


def _client(registry: Registry) -> dict[str, Any]:
    proxy = {
        name: {"enabled": True}
        for name, functions in (
            ("connect", registry.connecting),
            ("refresh", registry.refreshing),
        )
        if functions
    }
    return {"proxy": proxy} if proxy else {}


def _rpc(registry: Registry, *, has_documents: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    spaces = sorted({method.split(":", 1)[0] for method in registry.rpcs if ":" in method})
    # What the server asks for documents has names without a namespace.
    if has_documents or any(":" not in method for method in registry.rpcs):
        found["without_namespace"] = {"proxy_enabled": True}
    if spaces:
        found["namespaces"] = [{"name": name, "proxy_enabled": True} for name in spaces]
    return found


def _one_of(regexes: list[str]) -> str:
    several = list(dict.fromkeys(regexes))
    return several[0] if len(several) == 1 else "|".join(f"(?:{one})" for one in several)


def _misspelt(channel: type[Channel]) -> Iterator[str]:
    """Attributes that look like options and are none."""
    for owner in channel.__mro__:
        if owner.__module__.startswith("django_jackfield."):
            break
        for name, value in vars(owner).items():
            if name.startswith("_") or callable(value) or hasattr(Channel, name):
                continue
            if isinstance(value, property | classmethod | staticmethod):
                continue
            near = difflib.get_close_matches(name, OPTION_NAMES, n=1, cutoff=0.8)
            if near and name not in OPTION_NAMES:
                yield f"{name} is no attribute of a Channel. Did you mean {near[0]!r}?"
