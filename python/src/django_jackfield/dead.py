"""Dead letters: which are meant, and what becomes of them."""

from __future__ import annotations

import time
import uuid
import zlib
from dataclasses import dataclass

from django_jackfield.command import new_id, payload_key

KNOWN_SECONDS = 300
"""So long the server drops a command whose id it has seen, buried ones too."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters, and what is to be done with them. A letter must fit all that is given."""

    put_back: bool
    id: str = ""
    reason: str = ""
    partition: int | None = None
    limit: int | None = None
    fresh_id: bool = False

    def fits(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.id or letter.id == self.id)
            and (not self.reason or self.reason in letter.reason)
            and (self.partition is None or letter.partition == self.partition)
        )

    def verdict(self, letter: Letter) -> str:
        """What is done with a letter that is meant: replayed, dropped, or why nothing."""
        if not self.put_back:
            return "dropped"
        if letter.is_event or self.fresh_id or time.time() - letter.time >= KNOWN_SECONDS:
            return "replayed"
        return "kept: buried less than 5 minutes ago, the server would drop its id; use --new-id"

    def id_of(self, letter: Letter) -> str:
        """The id that a letter goes back with."""
        return new_id() if self.fresh_id or not letter.id else letter.id


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `time` is when it was written, 0 where nobody knows."""

    id: str
    reason: str
    partition: int
    is_event: bool
    time: float = 0.0


def born(id: str) -> float:
    """When an id was made, in seconds since 1970; 0 where it does not tell (it is no UUIDv7)."""
    try:
        value = uuid.UUID(id)
    except ValueError:
        return 0.0
    return (value.int >> 80) / 1000 if value.version == 7 else 0.0


def partition_of(key: str, partitions: int) -> int:
    """The partition of a channel, a user or a client."""
    return zlib.crc32(key.encode()) % partitions


def command_partition(payload: bytes, partitions: int) -> int:
    """The partition that a command of this payload travels through."""
    return partition_of(payload_key(payload), partitions)
