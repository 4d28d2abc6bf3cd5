"""What the server decides without Django, by the namespaces made of the channel classes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django_jackfield.namespaces import namespaces
from django_jackfield.registry import Registry


@dataclass(frozen=True, slots=True)
class Rights:
    """What holds in a channel. `refusal` is the code with which every client is turned away."""

    options: dict[str, Any] = field(default_factory=dict)
    refusal: int = 0

    def asks(self, what: str) -> bool:
        """Whether Django is asked before somebody subscribes or publishes."""
        return bool(self.options.get(f"{what}_proxy_enabled"))

    def allows(self, what: str, *, user: str, is_in: bool) -> bool:
        """Whether a client may subscribe, publish, read presence or history without a question."""
        return bool(
            (user and self.options.get(f"allow_{what}_for_client"))
            or (not user and self.options.get(f"allow_{what}_for_anonymous"))
            or (is_in and self.options.get(f"allow_{what}_for_subscriber"))
        )

    @property
    def goes_to_app(self) -> bool:
        """Whether what clients publish goes to handlers, not to the subscribers."""
        return self.options.get("publish_to") == "app"

    @property
    def keeps_history(self) -> bool:
        """Whether publications are kept."""
        return bool(self.options.get("history_size") and self.options.get("history_ttl"))


def rights(registry: Registry, channel: str) -> Rights:
    """What the server would find for a name."""
    found = {one.name: one.options for one in namespaces(registry)}
    if channel.startswith("/") and any(name.startswith("/") for name in found):
        for name, options in found.items():
            if name.startswith("/") and _fits_path(name, channel):
                return _held(options, channel)
        return Rights(refusal=102)
    name, boundary, rest = channel.removeprefix("$").partition(":")
    if not boundary:
        return _held(found.get("", {}), channel.removeprefix("$"))
    if name not in found:
        return Rights(refusal=102)
    return _held(found[name], rest)


def _held(options: dict[str, Any], text: str) -> Rights:
    """The options, if the name is in order."""
    regex = options.get("channel_regex")
    fits = not regex or re.fullmatch(regex, text) is not None
    return Rights(options, 0 if fits else 107)


def _fits_path(pattern: str, channel: str) -> bool:
    parts, said = pattern.split("/"), channel.split("/")
    return len(parts) == len(said) and all(
        (part.startswith(":") and word) or part == word
        for part, word in zip(parts, said, strict=True)
    )
