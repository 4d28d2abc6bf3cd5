"""What a client has heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django_jackfield.command import Command


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """A publication in a channel, or a message to the user (then `channel` is empty).

    It equals the Command that it came by, so that `client.received() == sent` can be asked.
    """

    channel: str
    raw: Any
    """What was published, whole."""
    offset: int | None = None
    user: str | None = None
    """The user of the client that published; None if the app did."""
    client: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    key: str | None = None

    @property
    def event(self) -> str | None:
        """The name of a `{"event", "data"}`, or None where it has not this form."""
        return self.raw["event"] if self._shaped else None

    @property
    def data(self) -> Any:
        """What stands beside the name; all of it where it has not this form."""
        return self.raw.get("data") if self._shaped else self.raw

    @property
    def _shaped(self) -> bool:
        raw = self.raw
        return isinstance(raw, dict) and isinstance(raw.get("event"), str)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Received):
            return (self.channel, self.raw) == (other.channel, other.raw)
        if isinstance(other, Command):
            where = self.channel in other.channels if self.channel else other.method == "send"
            return where and self.raw == other.data
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


def fitting(
    heard: list[Received], channel: str | None = None, event: str | None = None
) -> list[Received]:
    """Those of a channel, of an event, or all."""
    return [
        one
        for one in heard
        if (channel is None or one.channel == channel) and (event is None or one.event == event)
    ]
