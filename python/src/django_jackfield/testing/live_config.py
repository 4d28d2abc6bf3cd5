"""The configuration of a server for tests, from what a project declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import NoReverseMatch, reverse

from django_jackfield import conf, connect_call
from django_jackfield.namespaces import server_config
from django_jackfield.registry import Registry
from django_jackfield.webhook import secret_of


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


def asked_by_cookie(setting: Mapping[str, Any]) -> dict[str, Any]:
    """What the server needs to ask the Django of the test, if there is one, about cookies."""
    config = conf.load("default", setting)
    if not (config.asks_by_cookie and config.connect_url):
        return {}
    asked = connect_call.table(config.connect_url) | {"secret": secret_of(config)}
    return {"client": {"proxy": {"connect": asked}}}


def connect_path() -> str:
    """Where the connect view is on any site of this project."""
    try:
        return reverse(connect_call.VIEW)
    except NoReverseMatch:
        return connect_call.USUAL_PATH


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One document of two; the other has the last word."""
    both = dict(one)
    for name, value in other.items():
        deeper = isinstance(value, Mapping) and isinstance(both.get(name), Mapping)
        both[name] = merged(both[name], value) if deeper else value
    return both
