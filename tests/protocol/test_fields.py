"""Binary protocols: a device of its own protocol, raw blocks and a JSON client in one channel."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from serving import PATIENCE, Server, free_port, wait_for
from speakers import joined

CONFIG = """
[client]
insecure = true

[channel.without_namespace]

[[tcp]]
name = "bots"
port = {bots}
framing = "fixed:12"
dialect = "fields"
channel = "arena"
publish_to = "channel"

[[tcp.messages]]
event = "move"
when = [{{ offset = 0, kind = "u8", value = 1 }}]
fields = [
  {{ name = "facing", offset = 1, kind = "u8", names = ["north", "east"] }},
  {{ name = "x", offset = 2, kind = "u16be" }},
  {{ name = "y", offset = 4, kind = "i16le" }},
  {{ name = "speed", offset = 8, kind = "f32le" }},
]

[[tcp.messages]]
event = "name"
when = [{{ offset = 0, kind = "u8", value = 2 }}]
fields = [{{ name = "name", offset = 1, kind = "text", length = 11 }}]

[[tcp]]
name = "blocks"
port = {blocks}
framing = "u16le"
dialect = "raw"
channel = "arena"
publish_to = "channel"

[[tcp]]
name = "echo"
port = {echo}
framing = "u32be"
dialect = "echo"
message_size_limit = 1000
"""


class Peer:
    """A plain socket."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(PATIENCE)
        self.is_known = False

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self, count: int) -> bytes:
        """So many bytes; fewer when the server has closed."""
        found = b""
        while len(found) < count:
            some = self.socket.recv(count - len(found))
            if not some:
                break
            found += some
        return found

    def close(self) -> None:
        self.socket.close()


Ports = dict[str, int]


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Server, Ports]]:
    ports = {name: free_port() for name in ("bots", "blocks", "echo")}
    with Server(CONFIG.format(**ports)) as server:
        yield server, ports


def move(facing: int, x: int, y: int, speed: float) -> bytes:
    return struct.pack(">BBH", 1, facing, x) + struct.pack("<hxxf", y, speed)


def arrive(peer: Peer, word: str) -> None:
    """Says its name if it has said none, and waits for it: then it is in the channel."""
    frame = b"\x02" + word.encode().ljust(11, b"\0")
    if not peer.is_known:
        peer.say(frame)
        peer.is_known = True
    while peer.hear(12) != frame:
        pass


def test_fields_cross_both_ways(site: tuple[Server, Ports]) -> None:
    server, ports = site
    client = joined(server, "arena")
    with contextlib.closing(Peer(ports["bots"])) as bot, contextlib.closing(Peer(ports["bots"])) as other:
        for number, peer in enumerate((bot, other)):
            arrive(peer, f"bot {number}")
            assert client.push()["pub"]["data"] == {"event": "name", "data": {"name": f"bot {number}"}}
        arrive(bot, "bot 1")
        # In pieces, and two at once.
        whole = move(1, 258, -2, 1.5) + move(0, 65535, 32767, -0.25)
        for piece in (whole[:1], whole[1:5], whole[5:20], whole[20:]):
            bot.say(piece)
        assert other.hear(24) == whole == bot.hear(24)
        said = [client.push()["pub"]["data"] for _ in range(2)]
        assert said[0] == {"event": "move", "data": {"facing": "east", "x": 258, "y": -2, "speed": 1.5}}
        assert said[1]["data"] == {"facing": "north", "x": 65535, "y": 32767, "speed": -0.25}
        # What there is no message for, or does not fit, is not for them; what follows is.
        for data in ({"event": "shout", "data": {}}, {"event": "move", "data": {"x": 1}}, "text", 7):
            client.result(publish={"channel": "arena", "data": data})
        client.result(publish={"channel": "arena", "data": {"event": "move", "data": {"facing": "north", "x": 1, "y": 2, "speed": 0}}})
        assert other.hear(12) == move(0, 1, 2, 0.0)
    client.close()


def test_blocks_and_fields_share_a_channel(site: tuple[Server, Ports]) -> None:
    _, ports = site
    with contextlib.closing(Peer(ports["bots"])) as bot, contextlib.closing(Peer(ports["blocks"])) as blocks:
        arrive(bot, "here")
        block = struct.pack("<H", 12) + move(1, 7, 8, 9.0)
        blocks.say(block)
        # It may have come before the bot said its name, which is JSON to it.
        while (length := struct.unpack("<H", blocks.hear(2))[0]) != 12:
            blocks.hear(length)
        # Bytes go to both as they are.
        assert blocks.hear(12) == block[2:]
        assert bot.hear(12) == block[2:]
        blocks.say(struct.pack("<H", 3) + b"abc" + struct.pack("<H", 0))
        assert blocks.hear(7) == struct.pack("<H", 3) + b"abc" + struct.pack("<H", 0), "of another length: not for the bot"


@pytest.mark.parametrize("frame", [b"\x09" * 12, b"\x01\x07" + b"\0" * 10], ids=["unknown", "nameless"])
def test_what_is_none_of_the_messages_ends_it(site: tuple[Server, Ports], frame: bytes) -> None:
    _, ports = site
    with contextlib.closing(Peer(ports["bots"])) as bot:
        bot.say(frame)
        assert bot.hear(1) == b""


def test_too_long_is_refused_before_it_comes(site: tuple[Server, Ports]) -> None:
    _, ports = site
    with contextlib.closing(Peer(ports["echo"])) as peer:
        for length in (0, 1, 1000):
            block = struct.pack(">I", length) + b"x" * length
            peer.say(block)
            assert peer.hear(len(block)) == block
        peer.say(struct.pack(">I", 1001))
        assert peer.hear(1) == b""


def test_it_is_printed_where_it_listens(site: tuple[Server, Ports]) -> None:
    server, ports = site
    wait_for(lambda: f"127.0.0.1:{ports['bots']} (bots)" in server.logged(), "its line")
    assert "TCP binary" in server.logged()
