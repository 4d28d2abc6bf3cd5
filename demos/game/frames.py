"""The twelve bytes: what the loop, the pages and the bots say to each other, the same for all.

    steer   1  x:i8  y:i8  sent:u16  0 0 0 0 0 0 0          to the loop: where I want to go
    name    2  id:u8  name:10 bytes                         to the loop with id 0; back with mine
    figure  3  id:u8  x:u16  y:u16  facing:u8  state:u8  time:u16  echo:u16
    spark   4  id:u8  x:u16  y:u16  0          state:u8  time:u16  0 0
    gone    5  id:u8  0 0 0 0 0 0 0 0 0 0                   a figure has left

Numbers have the highest byte first. A place is in sixteenths of a unit, `facing` in 256ths of a
turn, `time` and `sent` are the lowest 16 bits of milliseconds since 1970. `echo` is what a player
has `sent` last, and how long the loop has had it: what is missing to its clock is the way.
"""

from __future__ import annotations

import math
import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

SIZE = 12
FINE = 16  # parts of a unit
TURN = 256
FULL = 127  # a direction at full speed
NAME_BYTES = 10


class Kind(IntEnum):
    """The first byte."""

    STEER = 1
    NAME = 2
    FIGURE = 3
    SPARK = 4
    GONE = 5


class State(IntFlag):
    """What a figure or a spark is."""

    THERE = 0
    HUNTER = 1
    SAFE = 2
    STUNNED = 4
    AWAY = 8
    BOT = 16
    TAKEN = 32


class Placed(NamedTuple):
    """A figure or a spark, as it was read."""

    kind: int
    id: int
    x: float
    y: float
    facing: float
    state: int
    time: int
    echo: int


_STEER = struct.Struct(">BbbH7x")
_NAME = struct.Struct(f">BB{NAME_BYTES}s")
_PLACED = struct.Struct(">BBHHBBHH")


def steer(x: float, y: float, sent: int) -> bytes:
    """A wish to go; (1, 0) is to the right at full speed."""
    return _STEER.pack(Kind.STEER, round(x * FULL), round(y * FULL), sent & 0xFFFF)


def steer_of(frame: bytes) -> tuple[float, float, int] | None:
    """The wish in a frame, if it is one."""
    if len(frame) != SIZE or frame[0] != Kind.STEER:
        return None
    _, x, y, sent = _STEER.unpack(frame)
    return x / FULL, y / FULL, sent


def name(id: int, text: str) -> bytes:
    """A name; of 0 it is one's own. What is too long is cut between letters."""
    cut = text.encode()[:NAME_BYTES].decode(errors="ignore")
    return _NAME.pack(Kind.NAME, id, cut.encode())


def name_of(frame: bytes) -> tuple[int, str]:
    """Whose name, and which."""
    _, id, text = _NAME.unpack(frame)
    return id, text.rstrip(b"\0").decode(errors="replace")


def placed(
    kind: Kind, id: int, x: float, y: float, facing: float, state: int, time: int, echo: int = 0
) -> bytes:
    """A figure or a spark; `facing` is in radians."""
    turn = round(facing / math.tau * TURN) % TURN
    place = round(x * FINE), round(y * FINE)
    return _PLACED.pack(kind, id, *place, turn, state, time & 0xFFFF, echo & 0xFFFF)


def placed_of(frame: bytes) -> Placed:
    """What stands in it."""
    kind, id, x, y, turn, state, time, echo = _PLACED.unpack(frame)
    return Placed(kind, id, x / FINE, y / FINE, turn / TURN * math.tau, state, time, echo)


def gone(id: int) -> bytes:
    """A figure that has left."""
    return bytes((Kind.GONE, id)).ljust(SIZE, b"\0")
