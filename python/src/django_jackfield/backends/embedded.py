"""The queue inside the server itself: the redis backend against Jackfield's own RESP port."""

from __future__ import annotations

from typing import ClassVar

from django_jackfield.backends.redis import RedisBackend
from django_jackfield.conf import Config


class EmbeddedBackend(RedisBackend):
    """OPTIONS: `host` (127.0.0.1), `port` (8402), `max_backlog`. One node, no broker to install."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"host", "port", "max_backlog"})
    FOR_DEVELOPMENT: ClassVar[bool] = True

    def address(self, config: Config) -> str:
        host = config.options.get("host", "127.0.0.1")
        port = config.options.get("port", 8402)
        return f"redis://{host}:{port}/0"

    @property
    def where(self) -> str:
        return f"the embedded queue at {self.url[8:-2]} (is `jackfield` running?)"
