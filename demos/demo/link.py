"""What Django and the socket server must agree on: the queue between them, and the key of tokens.

Read by settings.py and by `demos/run`, so it needs nothing but the standard library.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent
DEFAULT_URLS = {
    "embedded": "redis://127.0.0.1:8402",
    "redis": "redis://127.0.0.1:6379/0",
    "rabbitmq": "amqp://guest:guest@127.0.0.1:5672/%2F",
}


def state_dir(environment: Mapping[str, str]) -> Path:
    """Where the database and the secrets of the demo are kept."""
    return Path(environment.get("DEMO_STATE") or BASE_DIR / ".state")


def driver(environment: Mapping[str, str]) -> str:
    """Which queue: embedded, redis or rabbitmq."""
    name = environment.get("JACKFIELD_BACKEND") or "embedded"
    if name not in DEFAULT_URLS:
        raise SystemExit(f"JACKFIELD_BACKEND={name!r}: use {', '.join(DEFAULT_URLS)}")
    return name


def driver_of(url: str) -> str | None:
    """The kind of queue that a URL names."""
    schemes = {"redis": "redis", "rediss": "redis", "amqp": "rabbitmq", "amqps": "rabbitmq"}
    return schemes.get(urlsplit(url).scheme)


def queue_url(environment: Mapping[str, str]) -> str:
    """Where the queue is."""
    if url := environment.get("JACKFIELD_URL"):
        return url
    if driver(environment) == "embedded" and (port := environment.get("JACKFIELD_EMBEDDED_PORT")):
        return f"redis://127.0.0.1:{port}"
    return DEFAULT_URLS[driver(environment)]


def backend_options(environment: Mapping[str, str]) -> dict[str, object]:
    """OPTIONS of the backend; the embedded queue takes an address instead of a URL."""
    url = queue_url(environment)
    if driver(environment) != "embedded":
        return {"url": url}
    place = urlsplit(url)
    return {"host": place.hostname or "127.0.0.1", "port": place.port or 8402}


def tcp_port(name: str) -> int:
    """The port of a `[[tcp]]` in the file of the server, for a program on the same machine."""
    file = Path(os.environ.get("JACKFIELD_CONFIG") or BASE_DIR / "jackfield.toml")
    ports = {one["name"]: one.get("port", 0) for one in tomllib.loads(file.read_text())["tcp"]}
    return int(ports[name])


def token_key(environment: Mapping[str, str]) -> str:
    """The key that signs tokens."""
    return environment.get("JACKFIELD_KEY") or kept_secret(state_dir(environment), "jackfield-key")


def kept_secret(folder: Path, name: str) -> str:
    """A secret made at first use, in a file that only its owner reads.

    Processes that start together agree on one.
    """
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = folder / f".{name}.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # Why: unlike a rename it leaves another's secret in place.
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
