"""What the server decides without Django, from what a channel class declares."""

from __future__ import annotations

from typing import Any

from django_jackfield.channel import Channel


def access(channel: type[Channel]) -> str:
    """How one comes in: public, authenticated, token or ask. Empty: nobody does."""
    said: str = getattr(channel, "access", "")
    if said == "token":
        return said
    rules = getattr(channel, "permission", ()) or getattr(channel, "permission_classes", ())
    return "ask" if overrides(channel, "can_subscribe") or rules else said


def asks_to_publish(channel: type[Channel]) -> bool:
    """Whether Django is asked before a client publishes."""
    return overrides(channel, "can_publish")


def takes_messages(channel: type[Channel]) -> bool:
    """Whether what clients publish goes to handlers, not to the subscribers."""
    return bool(channel.handlers)


def relays(channel: type[Channel], event: str | None) -> bool:
    """Whether the server hands an event from client to client by itself."""
    relay: Any = getattr(channel, "relay", False)
    if isinstance(relay, bool):
        return relay
    return event is not None and event in (relay or ())


def overrides(channel: type[Channel], name: str) -> bool:
    """Whether a class has its own answer to a question."""
    return getattr(channel, name) is not getattr(Channel, name)


def namespace(name: str) -> str:
    """What stands before the first colon of a channel, or of a pattern."""
    return name.lstrip("$").partition(":")[0] if ":" in name else ""
