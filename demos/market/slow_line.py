"""A slow line: hands on so many bytes a second of what the server sends, and holds hardly any.

    python -m market.slow_line --port 8405 --to 8400 --rate 16000

It stands for a bad network between a browser and the server, which sees what it would see there: a
socket that takes little and seldom. What goes the other way is not slowed down.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
from contextlib import suppress

HELD_BYTES = 2048  # by the system, for this end of the line; it doubles it
PIECE_BYTES = 400
SLACK_SECONDS = 0.1  # that are made up for where this process was late


def main() -> None:
    """Listens until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8405)
    parser.add_argument("--to-host", default="127.0.0.1")
    parser.add_argument("--to", type=int, default=8400)
    parser.add_argument("--rate", type=int, default=16_000, help="bytes a second (%(default)s)")
    options = parser.parse_args()
    with suppress(asyncio.CancelledError):
        asyncio.run(serve(options))


async def serve(options: argparse.Namespace) -> None:
    """A line of its own for each that connects."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task  # noqa: S101
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    lines = set()
    with socket.create_server((options.host, options.port), family=family(options.host)) as server:
        server.setblocking(False)
        while True:
            near, _ = await loop.sock_accept(server)
            line = loop.create_task(connect(near, options))
            lines.add(line)
            line.add_done_callback(lines.discard)


async def connect(near: socket.socket, options: argparse.Namespace) -> None:
    """Carries both ways until one end closes."""
    loop = asyncio.get_running_loop()
    with near, socket.socket(family(options.to_host)) as far:
        near.setblocking(False)
        far.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Why: what the system takes in beforehand would be old when it is handed on.
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HELD_BYTES)
        with suppress(OSError):
            await loop.sock_connect(far, (options.to_host, options.to))
            ways = {
                loop.create_task(carry(far, near, options.rate)),
                loop.create_task(carry(near, far, 0)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


async def carry(source: socket.socket, target: socket.socket, rate: int) -> None:
    """Hands on what comes, piece by piece, at most `rate` bytes a second unless that is 0."""
    loop = asyncio.get_running_loop()
    free = loop.time()
    while piece := await loop.sock_recv(source, PIECE_BYTES if rate else 65536):
        await loop.sock_sendall(target, piece)
        if rate:
            free = max(free, loop.time() - SLACK_SECONDS) + len(piece) / rate
            await asyncio.sleep(free - loop.time())


def family(host: str) -> socket.AddressFamily:
    """What a numeric address is of."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


if __name__ == "__main__":
    main()
