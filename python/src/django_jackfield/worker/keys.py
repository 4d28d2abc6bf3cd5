"""What must stay in order: the lane of each event."""

from __future__ import annotations

from django_jackfield.registry import Registry
from django_jackfield.worker.feed import Delivery

ORDERED = frozenset({"message", "subscribe", "unsubscribe"})
"""Events that a channel class may order by channel or user. Calls of these names are asked in
the lane of their connection: nobody should wait behind others to be let in."""


class LaneKeys:
    """Gives each delivery its lane: its connection, unless its Channel class says otherwise."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.special = [one for one in registry.channels if one.ordering != "connection"]

    def of(self, delivery: Delivery) -> str:
        """The lane of a delivery."""
        if not self.special:
            return delivery.lane
        fields = delivery.fields
        channel = _text(fields.get("channel", ""))
        if channel and _text(fields.get("type", "")) in ORDERED and not fields.get("reply_to"):
            match = self.registry.match(channel)
            ordering = match.channel.ordering if match is not None else "connection"
            if ordering == "channel":
                return f"channel {channel}"
            user = _text(fields.get("user", ""))
            if ordering == "user" and user:
                return f"user {user}"
        return delivery.lane


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
