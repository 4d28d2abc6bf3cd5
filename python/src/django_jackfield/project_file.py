"""The whole jackfield.toml of a project, and what differs in a file that is there."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_jackfield import connect_call
from django_jackfield import options as option
from django_jackfield.aliases import brokers
from django_jackfield.backends.base import BaseBackend
from django_jackfield.conf import Config, in_development
from django_jackfield.namespaces import server_config
from django_jackfield.registry import Registry
from django_jackfield.toml import toml
from django_jackfield.webhook import secret_of

KEY = "JACKFIELD_CLIENT_TOKEN_HMAC_SECRET_KEY"
PREVIOUS_KEY = "JACKFIELD_CLIENT_TOKEN_HMAC_PREVIOUS_SECRET_KEY"
CONNECT_SECRET = "JACKFIELD_CLIENT_PROXY_CONNECT_SECRET"  # noqa: S105
URL = "JACKFIELD_APP_LINK_URL"
RUNSERVER = "http://127.0.0.1:8000"
ANY_PORT = ("http://localhost:*", "http://127.0.0.1:*")


@dataclass(slots=True)
class ProjectFile:
    """What the server needs to know of a project; `secrets` by the variables that carry them."""

    document: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def text(self, *, keys: bool = False) -> str:
        """As TOML, with the secrets or with the names of the variables that hold them."""
        lines = ["# Written by `manage.py jackfield config` from realtime.py and the settings."]
        lines += [f"# {remark}" for remark in self.remarks]
        if self.secrets and not keys:
            lines.append("# Secrets are read from the environment of the server:")
            lines += [f"#   {name}=..." for name in sorted(self.secrets)]
        document = self.complete() if keys else self.document
        return "\n".join(lines) + "\n\n" + toml(document)

    def complete(self) -> dict[str, Any]:
        """The document with its secrets."""
        document = json.loads(json.dumps(self.document))
        for name, value in self.secrets.items():
            _put(document, _PATHS[name], value)
        found: dict[str, Any] = document
        return found


URL_PATH = ("app_link", "url")
CONNECT_PATH = ("client", "proxy", "connect")
_OPERATORS = {URL_PATH, ("history", "path"), (*CONNECT_PATH, "timeout")}
"""What may differ: the server has a user of its own at the queue, and another name for its host."""
_PATHS = {
    KEY: ("client", "token", "hmac_secret_key"),
    PREVIOUS_KEY: ("client", "token", "hmac_previous_secret_key"),
    CONNECT_SECRET: (*CONNECT_PATH, "secret"),
    URL: URL_PATH,
}


def project_file(registry: Registry, via: str = "default") -> ProjectFile:
    """The file for one alias. Raises ImproperlyConfigured."""
    backend = brokers[via]
    config = backend.config
    file = ProjectFile(server_config(registry))
    client = file.document.setdefault("client", {})
    client["allowed_origins"] = list(origins(file.remarks))
    file.secrets[KEY] = config.signing_key
    if len(config.keys) > 1:
        file.secrets[PREVIOUS_KEY] = config.keys[1]
    if len(config.keys) > 2:
        file.remarks.append("The server takes two keys; those after the second of KEYS are void.")
    if config.asks_by_cookie:
        site = RUNSERVER if in_development() else ""
        table = connect_call.table(connect_call.endpoint(config, site))
        client.setdefault("proxy", {})["connect"] = table
        file.secrets[CONNECT_SECRET] = secret_of(config)
    _link(file, backend, config)
    order = ("client", "channel", "rpc", "yjs", "history", "app_link", "embedded")
    file.document = {name: file.document[name] for name in order if file.document.get(name)}
    return file


def origins(remarks: list[str]) -> Iterator[str]:
    """The pages that may connect, from CSRF_TRUSTED_ORIGINS and ALLOWED_HOSTS."""
    found = list(settings.CSRF_TRUSTED_ORIGINS)
    for host in settings.ALLOWED_HOSTS:
        if host == "*":
            remarks.append(
                "ALLOWED_HOSTS has '*', which names no page: write the site's origin into "
                "CSRF_TRUSTED_ORIGINS, or --origin."
            )
        elif host.startswith("."):
            found += [f"https://{host[1:]}", f"https://*{host}"]
        else:
            found.append(f"https://{host}")
    if in_development():
        found += ANY_PORT
    if not found:
        remarks.append("No page may connect: ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS are empty.")
    yield from dict.fromkeys(found)


def differences(wanted: ProjectFile, found: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each thing that a file says otherwise than the project needs it."""
    yield from _namespace_differences(wanted.document.get("channel", {}), found.get("channel", {}))
    plain = {
        name: table for name, table in wanted.document.items() if name not in ("channel", "rpc")
    }
    for path, value in _leaves(plain):
        there = _at(found, path)
        if path not in _OPERATORS or (there is None and path != URL_PATH):
            yield from _difference(".".join(path), value, there)
    yield from _rpc_differences(wanted.document.get("rpc", {}), found.get("rpc", {}))
    allowed = _at(found, ("client", "allowed_origins")) or ()
    if CONNECT_SECRET in wanted.secrets and "*" in allowed:
        yield (
            'client.allowed_origins has "*", and cookies log in: pages of any site may open '
            "sockets as whoever looks at them. Name your own pages."
        )
    for name, value in wanted.secrets.items():
        there = _at(found, _PATHS[name])
        if name != URL and there is not None and there != value:
            yield f"{'.'.join(_PATHS[name])} is not what the project has (both are secret)."


def read(path: str | Path) -> dict[str, Any]:
    """A jackfield.toml, or .json. Raises ImproperlyConfigured."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = json.loads(text) if str(path).endswith(".json") else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise ImproperlyConfigured(f"{path}: it holds no configuration")
    return found


def _link(file: ProjectFile, backend: BaseBackend, config: Config) -> None:
    """The queue, by the backend of the alias."""
    link = file.document.setdefault("app_link", {})
    kind = type(backend).__name__
    names = {one.__name__ for one in type(backend).__mro__}
    if "EmbeddedBackend" in names:
        host = config.options.get("host", "127.0.0.1")
        file.document["embedded"] = {
            "address": "127.0.0.1" if host == "localhost" else host,
            "port": config.options.get("port", 8402),
        }
        driver, url = "embedded", ""
    elif "RedisBackend" in names:
        driver, url = "redis", _with_password(backend.url, config)  # type: ignore[attr-defined]
    elif "RabbitMQBackend" in names:
        driver, url = "rabbitmq", config.options["url"]
    else:
        file.remarks.append(f"{kind} is no queue: the server gets none either.")
        del file.document["app_link"]
        return
    told: dict[str, Any] = {"driver": driver}
    if url and urlsplit(url).password:
        file.secrets[URL] = url
    elif url:
        told["url"] = url
    told |= {"prefix": config.prefix, "partitions": config.partitions}
    file.document["app_link"] = told | link


def _with_password(url: str, config: Config) -> str:
    """A Redis URL with the user and the password of OPTIONS, as the server wants it."""
    from urllib.parse import quote

    user, password = config.options.get("username"), config.options.get("password")
    parts = urlsplit(url)
    if not (user or password) or parts.password or not parts.netloc:
        return url
    signed = f"{quote(user or '', safe='')}:{quote(password or '', safe='')}@{parts.netloc}"
    return parts._replace(netloc=signed).geturl()


def _namespace_differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    theirs = {one.get("name", ""): one for one in found.get("namespaces", [])}
    theirs[""] = found.get("without_namespace", {})
    ours = {one["name"]: one for one in wanted.get("namespaces", [])}
    ours[""] = wanted.get("without_namespace", {})
    for name in ours.keys() | theirs.keys():
        where = f"namespace {name!r}" if name else "channel.without_namespace"
        if name not in theirs:
            yield f"{where} is missing."
        elif name not in ours:
            yield f"{where} is in the file, but no class is in it."
        else:
            yield from _option_differences(where, ours[name], theirs[name])
    paths = [name for name in ours if name.startswith("/")]
    there = [name for name in theirs if name in paths]
    if there != [name for name in paths if name in there]:
        yield f"the patterns must stand in this order, the first counts: {', '.join(paths)}."


def _option_differences(
    where: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterator[str]:
    ours, theirs = (
        option.flat({k: v for k, v in one.items() if k != "name"}) for one in (wanted, found)
    )
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in option.DEFAULTS:
            yield f"{where}: {name} is no option that this version knows."
            continue
        default = option.DEFAULTS[name]
        need, there = ours.get(name, default), theirs.get(name, default)
        if _normal(name, need) != _normal(name, there):
            yield f"{where}: {name} is {_said(there)}, and the project needs {_said(need)}."


def _rpc_differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for path, value in _leaves({key: one for key, one in wanted.items() if key != "namespaces"}):
        yield from _difference(".".join(("rpc", *path)), value, _at(found, path))
    theirs = {one.get("name"): one for one in found.get("namespaces", [])}
    for one in wanted.get("namespaces", []):
        if not theirs.get(one["name"], {}).get("proxy_enabled"):
            yield f"rpc.namespaces: {one['name']!r} is missing, or its proxy_enabled is false."


def _difference(name: str, wanted: Any, found: Any) -> Iterator[str]:
    if isinstance(wanted, list) and not all(isinstance(one, str) for one in wanted):
        if found != wanted:
            yield f"{name} is not what the project needs: {_said(wanted)}."
    elif isinstance(wanted, list):
        missing = sorted(set(wanted) - set(found or ()))
        if missing and found != ["*"]:
            yield f"{name} lacks {', '.join(map(_said, missing))}."
    elif found is None and name in _SERVER_DEFAULTS:
        yield from _difference(name, wanted, _SERVER_DEFAULTS[name])
    elif found != wanted:
        is_there = "is missing" if found is None else f"is {_said(found)}"
        yield f"{name} {is_there}, and the project needs {_said(wanted)}."


_SERVER_DEFAULTS = {
    "app_link.prefix": "jackfield",
    "app_link.partitions": 8,
    "embedded.address": "127.0.0.1",
    "embedded.port": 8402,
}


def _normal(name: str, value: Any) -> Any:
    try:
        return option.normal(name, value)
    except (TypeError, ValueError):
        return value


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _leaves(
    table: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _at(table: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        table = table.get(name) if isinstance(table, Mapping) else None
    return table


def _put(table: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        table = table.setdefault(name, {})
    table[path[-1]] = value
