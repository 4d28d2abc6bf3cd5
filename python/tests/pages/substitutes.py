"""Stands in for what pages name and what is not installed here."""

from __future__ import annotations

import sys
import types
from importlib.util import find_spec


def install() -> None:
    """channels_redis: the layer of Channels' own that keeps things in memory."""
    if find_spec("channels_redis") is None:
        from channels.layers import InMemoryChannelLayer

        class RedisChannelLayer(InMemoryChannelLayer):
            """Takes the hosts, and asks none of them."""

            def __init__(self, hosts: list[str], **kwargs: object) -> None:
                super().__init__()

        core = types.ModuleType("channels_redis.core")
        core.RedisChannelLayer = RedisChannelLayer  # type: ignore[attr-defined]
        sys.modules |= {
            "channels_redis": types.ModuleType("channels_redis"),
            "channels_redis.core": core,
        }
    if find_spec("debug_toolbar") is None:
        return
