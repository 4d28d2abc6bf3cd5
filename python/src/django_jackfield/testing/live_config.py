"""The configuration of a server for tests, from what a project declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_jackfield.namespaces import server_config
from django_jackfield.registry import Registry


def server_document(registry: Registry, ports: Mapping[str, int], key: str) -> dict[str, Any]:
    """All of it, as the server reads it: what the project needs, on loopback ports of its own."""
    ours = {
        "http_server": {
            "address": "127.0.0.1",
            "port": ports["public"],
            "internal_port": ports["internal"],
        },
        "client": {
            "allowed_origins": ["*"],
            "token": {"hmac_secret_key": key},
            "allow_anonymous_connect_without_token": not registry.connecting,
        },
        "app_link": {"driver": "embedded"},
        "embedded": {"port": ports["embedded"]},
        "shutdown": {"timeout": "1s"},
    }
    return merged(server_config(registry), ours)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One document of two; the other has the last word."""
    both = dict(one)
    for name, value in other.items():
        deeper = isinstance(value, Mapping) and isinstance(both.get(name), Mapping)
        both[name] = merged(both[name], value) if deeper else value
    return both
