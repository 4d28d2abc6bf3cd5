"""Filters for times and colours."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

register = template.Library()
_STEPS = ((60, 60, "min"), (3600, 24, "h"), (86400, 365, "d"))


@register.filter
def ago(at: datetime) -> str:
    """A time as its distance from now: `5 min`."""
    seconds = (timezone.now() - at).total_seconds()
    for unit, count, name in _STEPS:
        if unit <= seconds < unit * count:
            return f"{int(seconds // unit)} {name} ago"
    return "just now" if seconds < _STEPS[0][0] else f"{at:%F}"


@register.filter
def hue(key: int) -> int:
    """A colour of its own for each key; static/room.js counts the same."""
    return int(key) * 137 % 360
