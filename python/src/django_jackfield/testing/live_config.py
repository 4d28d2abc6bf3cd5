"""The configuration of a server for tests, from what a project declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_jackfield.channel import Channel
from django_jackfield.registry import Registry
from django_jackfield.testing import rights

EVENTS = (
    *("connect", "disconnect", "message", "subscribe", "unsubscribe"),
    *("occupied", "vacated", "undelivered"),
)


def server_document(registry: Registry, ports: Mapping[str, int], key: str) -> dict[str, Any]:
    """All of it, as the server reads it."""
    asks_connect = bool(registry.connecting)
    return {
        "http_server": {
            "address": "127.0.0.1",
            "port": ports["public"],
            "internal_port": ports["internal"],
        },
        "client": {
            "allowed_origins": ["*"],
            "token": {"hmac_secret_key": key},
            "allow_anonymous_connect_without_token": not asks_connect,
            "proxy": {"connect": {"enabled": asks_connect}},
        },
        "channel": _channels(registry),
        "rpc": {"without_namespace": {"proxy_enabled": True}},
        "app_link": {"driver": "embedded", "events": list(EVENTS), "vacated_delay": "0s"},
        "embedded": {"port": ports["embedded"]},
        "shutdown": {"timeout": "1s"},
    }


def _channels(registry: Registry) -> dict[str, Any]:
    """A namespace for each beginning of a pattern; the first class with it says what holds."""
    found: dict[str, dict[str, Any]] = {}
    for channel in registry.channels:
        name = rights.namespace(channel.pattern)
        if name not in found:
            found[name] = _options(channel)
    plain = found.pop("", {})
    named = [{"name": name, **options} for name, options in found.items()]
    return {"without_namespace": plain, "namespaces": named}


def _options(channel: type[Channel]) -> dict[str, Any]:
    access = rights.access(channel)
    presence = bool(getattr(channel, "presence", False))
    options: dict[str, Any] = {
        "presence": presence,
        "allow_presence_for_subscriber": presence,
        "subscribe_proxy_enabled": access == "ask",
        "allow_subscribe_for_client": access in ("public", "authenticated"),
        "allow_subscribe_for_anonymous": access == "public",
        "publish_proxy_enabled": rights.asks_to_publish(channel),
        "allow_publish_for_subscriber": rights.takes_messages(channel),
        "publish_to": "app" if rights.takes_messages(channel) else "channel",
    }
    history = getattr(channel, "history", None)
    if history:
        options |= {
            "history_size": history.size,
            "history_ttl": f"{int(history.ttl.total_seconds())}s",
            "allow_history_for_subscriber": True,
        }
    return options
