"""The configuration of the server beside `runserver`, as a dict that is written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host

from django_jackfield import conf, connect_call
from django_jackfield.conf import Config
from django_jackfield.namespaces import server_config
from django_jackfield.registry import Registry
from django_jackfield.webhook import secret_of

EMBEDDED_PORT = 8402
INTERNAL_PORT = 8401
WILDCARDS = {"", "0", "0.0.0.0", "::"}  # noqa: S104
DRIVERS = {
    conf.EMBEDDED: "embedded",
    "django_jackfield.backends.redis.RedisBackend": "redis",
    "django_jackfield.backends.rabbitmq.RabbitMQBackend": "rabbitmq",
}


def driver_of(config: Config) -> str | None:
    """The server's name of the queue, None where the backend carries nothing to a server."""
    return DRIVERS.get(config.backend)


def embedded_port(config: Config) -> int:
    """The port of the queue inside the server."""
    return int(config.options.get("port", EMBEDDED_PORT))


def internal_port(config: Config) -> int:
    """The port of health and metrics: the one below the embedded queue."""
    return embedded_port(config) - 1 if driver_of(config) == "embedded" else INTERNAL_PORT


def local_config(
    config: Config, registry: Registry, address: str, port: int, pages: list[str], site: str = ""
) -> dict[str, Any]:
    """What a server on this machine is told: who may come, with which key, over which queue.

    What the channels of the project say comes first; a fault in it is an ImproperlyConfigured.
    `site` is where Django is, for the questions about cookies.
    """
    full = merged(server_config(registry), _local(config, address, port, pages))
    if not config.asks_by_cookie:
        return full
    asked = connect_call.table(connect_call.endpoint(config, site))
    connect = {"connect": asked | {"secret": secret_of(config)}}
    return merged(full, {"client": {"proxy": connect}})


def site_url(address: str, port: int | str) -> str:
    """Where the server reaches `runserver`, by a name that Django answers to."""
    host = "127.0.0.1" if address in WILDCARDS else _bracketed(address)
    known = settings.ALLOWED_HOSTS
    if host == "127.0.0.1" and known and not validate_host(host, known):
        host = "localhost"
    return f"http://{host}:{port}"


def origins(address: str, port: int | str) -> list[str]:
    """The origins that pages of `runserver` have."""
    if address in WILDCARDS:
        return ["*"]
    hosts = [address, "localhost", "127.0.0.1"]
    hosts += [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    named = [f"http://{_bracketed(host)}:{port}" for host in hosts]
    return list(dict.fromkeys([*named, *settings.CSRF_TRUSTED_ORIGINS]))


def public_url(address: str, port: int) -> str:
    """What pages are told; of a wildcard, `conf` makes the host of the page."""
    return f"ws://{_bracketed(_listening(address))}:{port}/connection/websocket"


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both, table by table; where both say something, the second."""
    result = dict(first)
    for name, value in second.items():
        other = result.get(name)
        if isinstance(other, Mapping) and isinstance(value, Mapping):
            result[name] = merged(other, value)
        else:
            result[name] = value
    return result


def _local(config: Config, address: str, port: int, pages: list[str]) -> dict[str, Any]:
    driver = driver_of(config)
    if driver is None:
        raise ImproperlyConfigured(
            f"JACKFIELD[{config.alias!r}]: {config.backend} reaches no server. Use the embedded, "
            f"the redis or the rabbitmq backend."
        )
    token: dict[str, Any] = {"hmac_secret_key": config.signing_key}
    if len(config.keys) > 1:
        token["hmac_previous_secret_key"] = config.keys[1]
    link: dict[str, Any] = {
        "driver": driver,
        "prefix": config.prefix,
        "partitions": config.partitions,
    }
    full: dict[str, Any] = {
        "http_server": {
            "address": _listening(address),
            "port": port,
            "internal_address": "127.0.0.1",
            "internal_port": internal_port(config),
        },
        "client": {
            "allowed_origins": pages,
            "connect_include_server_time": True,
            "token": token,
        },
        "app_link": link,
        # Also for a project without an rpc: `jackfield doctor` tries a worker by a call.
        "rpc": {"without_namespace": {"proxy_enabled": True}},
        "log": {"level": "warn"},
        "shutdown": {"timeout": "2s"},
    }
    if driver == "embedded":
        full["embedded"] = {"port": embedded_port(config)}
    else:
        link["url"] = _link_url(config)
    return full


def _link_url(config: Config) -> str:
    """The address of the queue, with the name and the password that may stand beside it."""
    from urllib.parse import quote, urlsplit, urlunsplit

    parts = urlsplit(str(config.options.get("url", "")))
    user, password = config.options.get("username"), config.options.get("password")
    if password is None or "@" in parts.netloc:
        return parts.geturl()
    login = f"{quote(user or '', safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def _listening(address: str) -> str:
    """An address as the server takes it, which knows no short form."""
    return "0.0.0.0" if address in {"", "0"} else address  # noqa: S104


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
