"""A client of the server in lines of JSON over TCP: it hears channels, and says nothing else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

OPEN_SECONDS = 5.0


class Lines:
    """A connection that is in some channels. It is read when the system says that it can be."""

    def __init__(self, port: int, token: str, subscriptions: list[dict[str, Any]]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), OPEN_SECONDS)
        self._rest = b""
        commands = [{"connect": {"token": token}}, *({"subscribe": one} for one in subscriptions)]
        try:
            self._ask(commands)
        except BaseException:
            self.close()
            raise

    def _ask(self, commands: list[dict[str, Any]]) -> None:
        said = [{"id": id} | command for id, command in enumerate(commands, 1)]
        self.socket.sendall(b"".join(json.dumps(one).encode() + b"\n" for one in said))
        waiting = len(said)
        while waiting:
            for message in self._read():
                if "error" in message:
                    raise ConnectionError(f"the server refused: {message['error']}")
                waiting -= "id" in message

    def publications(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What has come, as channel and publication. Raises OSError when the line is cut."""
        for message in self._read():
            push = message.get("push", {})
            if "disconnect" in push:
                raise ConnectionError(f"the server closed: {push['disconnect']}")
            if "pub" in push:
                yield push["channel"], push["pub"]

    def _read(self) -> list[dict[str, Any]]:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server closed")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]

    def close(self) -> None:
        """Ends it."""
        self.socket.close()
