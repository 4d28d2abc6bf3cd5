"""What a channel class may say of its channels: options of the server, by name and by value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

Duration = timedelta | float | str
"""A timedelta, seconds, or a text as the server reads it: `"10m"`, `"1h30m"`, `"500ms"`."""

DEFAULTS: dict[str, Any] = {
    "subscription_type": "stream",
    "presence": False,
    "join_leave": False,
    "force_push_join_leave": False,
    "join_leave_limit": 2000,
    "subscribe_events": True,
    "occupancy_events": True,
    "history_size": 0,
    "history_ttl": "0s",
    "durable": False,
    "history_meta_ttl": "0s",
    "allow_recovery": False,
    "force_recovery": False,
    "force_recovery_mode": "stream",
    "auto_cache_recover": False,
    "allow_positioning": False,
    "force_positioning": False,
    "snapshot": False,
    "snapshot_keys": 10000,
    "allowed_delta_types": [],
    "delta_publish": False,
    "allow_tags_filter": False,
    "allow_aggregates": False,
    "interest": "",
    "delivery": "all",
    "publication_data_format": "",
    "document": "",
    "document_max_size": 16 << 20,
    "allow_user_limited_channels": False,
    "channel_regex": "",
    "publish_rate": 0,
    "subscribe_rate": 0,
    "allow_subscribe_for_client": False,
    "allow_subscribe_for_anonymous": False,
    "allow_publish_for_client": False,
    "allow_publish_for_subscriber": False,
    "allow_publish_for_anonymous": False,
    "allow_presence_for_client": False,
    "allow_presence_for_subscriber": False,
    "allow_presence_for_anonymous": False,
    "allow_history_for_client": False,
    "allow_history_for_subscriber": False,
    "allow_history_for_anonymous": False,
    "publish_to": "channel",
    "subscribe_proxy_enabled": False,
    "subscribe_proxy_name": "",
    "publish_proxy_enabled": False,
    "publish_proxy_name": "",
    "sub_refresh_proxy_enabled": False,
    "sub_refresh_proxy_name": "",
    "map_clients_presence_channel_prefix": "",
    "map_users_presence_channel_prefix": "",
    "map.mode": "ephemeral",
    "map.key_ttl": "0s",
    "map.stream_size": 0,
    "map.stream_ttl": "0s",
    "map.remove_client_on_unsubscribe": False,
    "map.client_key": "any",
    "map.allow_publish_for_client": False,
    "map.allow_publish_for_subscriber": False,
    "map.allow_publish_for_anonymous": False,
    "map.allow_remove_for_client": False,
    "map.allow_remove_for_subscriber": False,
    "map.allow_remove_for_anonymous": False,
    "map.default_page_size": 100,
    "map.min_page_size": 100,
    "map.max_page_size": 1000,
    "map.subscribe_catch_up_timeout": "5s",
    "map.max_keys": 100000,
}
"""Every option of a namespace (docs/config.md), and what holds where it is not given."""

CHOICES: dict[str, tuple[str, ...]] = {
    "subscription_type": ("stream", "map", "map_clients", "map_users"),
    "force_recovery_mode": ("stream", "cache"),
    "publication_data_format": ("", "json", "binary"),
    "document": ("", "yjs"),
    "publish_to": ("app", "channel"),
    "map.mode": ("ephemeral", "recoverable", "persistent"),
    "map.client_key": ("any", "client_id", "user_id"),
}
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?:\d+(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+)(ms|s|m|h|d)")
_RATE = re.compile(r"(\d+)\s*/\s*(?:s|sec|second)")
_DELIVERY = re.compile(r"all|latest|drop_oldest|sampled:([1-9]\d{0,2}|1000)")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a channel keeps, and how clients catch up.

    The last `size` publications, none older than `ttl`. With `recovery` whoever comes back is
    sent what it missed; with `positioned` a client that has missed something is told even while
    it is connected. `readable` lets subscribers read the history themselves. `durable` keeps it
    in the server's log over a restart; `meta_ttl` is how long the position outlives the last
    publication (30 days unless said).
    """

    size: int
    ttl: Duration
    recovery: bool = True
    positioned: bool = False
    readable: bool = True
    durable: bool = False
    meta_ttl: Duration | None = None

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"History(size={self.size!r}): write how many publications, from 1")
        if milliseconds(self.ttl, "History(ttl=)") == 0:
            raise ValueError("History(ttl=0): write how long a publication is kept")

    def options(self) -> dict[str, Any]:
        """The options of a namespace that keeps this."""
        found: dict[str, Any] = {"history_size": self.size, "history_ttl": duration(self.ttl)}
        for name, is_on in (
            ("allow_recovery", self.recovery),
            ("force_recovery", self.recovery),
            ("allow_positioning", self.positioned),
            ("force_positioning", self.positioned),
            ("allow_history_for_subscriber", self.readable),
            ("durable", self.durable),
        ):
            if is_on:
                found[name] = True
        if self.meta_ttl is not None:
            found["history_meta_ttl"] = duration(self.meta_ttl)
        return found


def milliseconds(said: Duration, what: str = "a duration") -> int:
    """Reads a duration. Raises ValueError."""
    if isinstance(said, timedelta):
        value = round(said.total_seconds() * 1000)
    elif isinstance(said, int | float) and not isinstance(said, bool):
        value = round(said * 1000)
    elif isinstance(said, str) and _DURATION.fullmatch(said):
        value = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(said))
    else:
        raise ValueError(
            f"{what}: {said!r} is no time; write a timedelta, seconds, or a text such as '10m'"
        )
    if value < 0:
        raise ValueError(f"{what}: {said!r} is less than no time")
    return value


def duration(said: Duration) -> str:
    """A duration as the server reads it."""
    value = milliseconds(said)
    for unit in ("d", "h", "m", "s"):
        if value and value % _UNITS[unit] == 0:
            return f"{value // _UNITS[unit]}{unit}"
    return f"{value}ms" if value else "0s"


def per_second(said: str | int) -> int:
    """Reads the rate of a class: `"5/s"`. Raises ValueError."""
    if isinstance(said, int) and not isinstance(said, bool) and said > 0:
        return said
    found = _RATE.fullmatch(said.strip()) if isinstance(said, str) else None
    if found is None or int(found[1]) < 1:
        raise ValueError(
            f"rate = {said!r}: the server counts whole publications of a connection in a second; "
            "write '5/s' (@on(rate='30/m') counts over other times, in the worker)"
        )
    return int(found[1])


def flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with `{"map": {"mode": ..}}` written as `{"map.mode": ..}`."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == "map" and isinstance(value, Mapping):
            found |= {f"map.{inner}": one for inner, one in value.items()}
        else:
            found[name] = value
    return found


def nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the server's file has them: those of a map in a table of their own."""
    found = {name: value for name, value in options.items() if not name.startswith("map.")}
    inner = {name[4:]: value for name, value in options.items() if name.startswith("map.")}
    return found | ({"map": inner} if inner else {})


def faults(options: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each option that does not exist or cannot have its value."""
    for name, value in options.items():
        if name not in DEFAULTS:
            near = difflib.get_close_matches(name, DEFAULTS, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else " docs/config.md lists them."
            yield f"there is no option {name!r} of a namespace.{meant}"
        else:
            yield from _value_faults(name, value)


def normal(name: str, value: Any) -> Any:
    """A value as two files are compared by: times in milliseconds, lists in order."""
    if is_time(name):
        return milliseconds(value)
    return sorted(value) if isinstance(value, list | tuple | set | frozenset) else value


def is_time(name: str) -> bool:
    """Whether an option is a duration."""
    return name.endswith(("_ttl", "_timeout"))


def _value_faults(name: str, value: Any) -> Iterator[str]:
    default = DEFAULTS[name]
    if is_time(name):
        try:
            milliseconds(value, name)
        except ValueError as error:
            yield str(error)
    elif name == "delivery":
        if not isinstance(value, str) or not _DELIVERY.fullmatch(value):
            yield (
                f"delivery is 'all', 'latest', 'drop_oldest' or 'sampled:N' with N from 1 to "
                f"1000, not {value!r}."
            )
    elif name in CHOICES:
        if value not in CHOICES[name]:
            yield f"{name} is one of {', '.join(map(repr, CHOICES[name]))}, not {value!r}."
    elif isinstance(default, list):
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            yield f"{name} is a list of texts, not {value!r}."
    elif type(value) is not type(default):
        kind = {bool: "True or False", int: "a whole number", str: "a text"}[type(default)]
        yield f"{name} is {kind}, not {value!r}."
    elif isinstance(value, int) and value < 0:
        yield f"{name} is not less than 0, so not {value!r}."
