"""Commands and events as Redis streams, with redis-py."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from django_jackfield.backends.base import BaseBackend
from django_jackfield.command import Command, new_id
from django_jackfield.conf import Config
from django_jackfield.dead import Letter, Wanted
from django_jackfield.errors import AskTimeout, PublishError
from django_jackfield.process import PerProcess

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:
    raise ImproperlyConfigured(
        f"The redis and embedded backends need redis-py ({error}): "
        "pip install 'django-jackfield[redis]'"
    ) from error

if TYPE_CHECKING:
    from django_jackfield.worker.feed import Feed, Sink

MAX_BACKLOG = 1_000_000
LOOK_EVERY = 256

clients: PerProcess[redis.Redis] = PerProcess()
watches: PerProcess[dict[int, int]] = PerProcess()

# A command as RESP. Its beginning is made once for each partition.
_HEAD = b"*11\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$1\r\n*\r\n$1\r\nv\r\n$1\r\n1\r\n$2\r\nid\r\n"
_TAIL = b"%b$%d\r\n%b\r\n$6\r\nmethod\r\n$%d\r\n%b\r\n$7\r\npayload\r\n$%d\r\n%b\r\n"

_NAMELESS = (
    inspect.signature(redis.ConnectionPool.get_connection).parameters["command_name"].default
    is not inspect.Parameter.empty
)
"""Whether the pool lends connections without being told what for: so since redis-py 5.3."""


class RedisBackend(BaseBackend):
    """OPTIONS: `url` (redis://, rediss://, unix://), `username`, `password`, `max_connections`,
    `max_backlog` (1,000,000: so many commands may wait in a partition).

    A stream is never trimmed: what was accepted would be gone. Who adds commands looks now and
    then how many wait, and once that is too many, it looks before it adds, and refuses.
    """

    OPTIONS: ClassVar[frozenset[str]] = frozenset(
        {"url", "username", "password", "max_connections", "max_backlog"}
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.url = self.address(config)
        self._streams = [self._commands(number) for number in range(config.partitions)]
        self._heads = [_HEAD % (len(one.encode()), one.encode()) for one in self._streams]
        self._watched: tuple[int, dict[int, int] | None] = (0, None)
        self.max_backlog = config.options.get("max_backlog", MAX_BACKLOG)
        if not isinstance(self.max_backlog, int) or self.max_backlog < 1:
            raise ImproperlyConfigured(
                f"JACKFIELD[{config.alias!r}]['OPTIONS']: set 'max_backlog' to a number of "
                f"commands, at least 1, not {self.max_backlog!r}."
            )

    def address(self, config: Config) -> str:
        """The URL of the server."""
        url = config.options.get("url")
        if not isinstance(url, str) or "://" not in url:
            raise ImproperlyConfigured(
                f"JACKFIELD[{config.alias!r}]['OPTIONS']: set 'url' to redis://host:port/0, "
                f"not {url!r}."
            )
        return url

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        return (redis.RedisError, OSError)

    @property
    def where(self) -> str:
        parts = urlsplit(self.url)
        return f"redis at {parts.hostname or parts.path}:{parts.port or 6379}"

    def client(self, patience: float | None = None, again: int = 1) -> redis.Redis:
        """A client of this process whose reads wait `patience` seconds (TIMEOUT if None).

        A broken connection is replaced and the command sent `again`, with the same id, which
        the server knows; a timeout is not tried again.
        """
        patience = self.config.timeout if patience is None else patience
        return clients.get_or_make(
            (self.key, patience, again), lambda: self._connect(patience, again)
        )

    def _connect(self, patience: float, again: int) -> redis.Redis:
        options = {
            name: self.config.options[name]
            for name in ("username", "password", "max_connections")
            if name in self.config.options
        }
        return redis.Redis.from_url(
            self.url,
            protocol=2,
            socket_connect_timeout=self.config.timeout,
            socket_timeout=patience,
            retry=Retry(NoBackoff(), again, supported_errors=(redis.ConnectionError,)),
            **options,
        )

    def _send(self, commands: Sequence[Command]) -> None:
        self._put(commands)

    def _put(self, commands: Sequence[Command], reply_to: str | None = None) -> None:
        """Adds commands, and looks now and then how many wait."""
        watch = self._watch()
        if len(commands) == 1 and reply_to is None:
            partition = commands[0].partition(self.config.partitions)
            if watch.get(partition, 0) > 0:
                watch[partition] -= 1
                self._add(commands[0], self._heads[partition])
                return
        counts = Counter(one.partition(self.config.partitions) for one in commands)
        self._refuse([one for one in sorted(counts) if watch.get(one, 0) < 0], watch)
        pipe: Any = self.client().pipeline(transaction=False)
        for command in commands:
            stream = self._streams[command.partition(self.config.partitions)]
            pipe.execute_command("XADD", stream, "*", *self._fields(command, reply_to))
        due = [one for one in sorted(counts) if watch.get(one, 0) <= counts[one]]
        for partition in due:
            pipe.execute_command("XLEN", self._streams[partition])
        lengths = pipe.execute()[len(commands) :]
        for partition, count in counts.items():
            watch[partition] = watch.get(partition, 0) - count
        for partition, length in zip(due, lengths, strict=True):
            watch[partition] = self._until_look(length)

    def _add(self, command: Command, head: bytes) -> None:
        """Adds one command: what the client would do, without what it does for every command.

        A broken connection is replaced and the command sent once more; a timeout is not tried
        again.
        """
        packed = [_TAIL % (head, *_sized(command.id, command.method, command.payload))]
        pool = self.client().connection_pool
        connection: Any = pool.get_connection() if _NAMELESS else pool.get_connection("XADD")
        try:
            try:
                connection.send_packed_command(packed)
                connection.read_response()
            except redis.ConnectionError:
                connection.disconnect()
                connection.send_packed_command(packed)
                connection.read_response()
        except BaseException as error:
            if not isinstance(error, redis.ResponseError):
                connection.disconnect()  # An answer may be on its way that is not the next one's.
            raise
        finally:
            pool.release(connection)

    def _watch(self) -> dict[int, int]:
        """How many more commands may be added to each partition before its length is due.

        Below 0: it was full. What is missing has never been looked at.
        """
        pid, watch = self._watched
        if pid != os.getpid() or watch is None:
            watch = watches.get_or_make(self.key, dict)
            self._watched = (os.getpid(), watch)
        return watch

    def _until_look(self, length: int) -> int:
        """Every LOOK_EVERY commands, and every one when the rest of the room is small.

        Invariant: the processes of a site that add at the same time, fewer than 64, together
        cannot pass `max_backlog` by more than that rest.
        """
        room = self.max_backlog - length
        return -1 if room <= 0 else min(LOOK_EVERY, room // 64)

    def _refuse(self, partitions: Sequence[int], watch: dict[int, int]) -> None:
        """Looks again at partitions that were full. Raises PublishError while one is."""
        for partition in partitions:
            length: Any = self.client().xlen(self._commands(partition))
            if length >= self.max_backlog:
                raise PublishError(
                    f"{self.where} is full: {length} commands wait in partition {partition}, "
                    f"{self.max_backlog} may (max_backlog): does jackfield read them?"
                )
            watch[partition] = 0

    def _commands(self, partition: int) -> str:
        return f"{{{self.config.prefix}:{partition}}}:commands"

    @staticmethod
    def _fields(command: Command, reply_to: str | None) -> tuple[str | bytes, ...]:
        fields = (
            *("v", "1", "id", command.id),
            *("method", command.method, "payload", command.payload),
        )
        return (*fields, "reply_to", reply_to) if reply_to else fields

    def _ask(self, command: Command, timeout: float) -> bytes:
        reply_to = f"{{{self.config.prefix}}}:replies:{new_id()}"
        self._put([command], reply_to)
        answer: Any = self.client(timeout + self.config.timeout).blpop([reply_to], timeout=timeout)
        if answer is None:
            raise AskTimeout(
                f"no reply to {command.method} within {timeout:g} s: is jackfield running, with "
                f"the same PREFIX and PARTITIONS?"
            )
        raw: bytes = answer[1]
        return raw

    def feed(self, sink: Sink, partitions: Sequence[int]) -> Feed:
        from django_jackfield.worker.redis import RedisFeed

        return RedisFeed(self, sink, partitions)

    def dead_letters(self, limit: int) -> list[dict[str, str]]:
        with self._guarded():
            return self._dead_letters(limit)

    def _dead_letters(self, limit: int) -> list[dict[str, str]]:
        letters = []
        for partition in range(self.config.partitions):
            for name in ("dead", "dead:app"):
                key = f"{{{self.config.prefix}:{partition}}}:{name}"
                entries: Any = self.client().xrange(key, count=limit)
                for entry, fields in entries:
                    letter = {k.decode(): v.decode(errors="replace") for k, v in fields.items()}
                    letters.append({"at": entry.decode(), "from": key} | letter)
        letters.sort(key=lambda letter: int(letter["at"].split("-")[0]))
        return letters[:limit]

    def settle_dead(self, wanted: Wanted) -> list[tuple[Letter, str]]:
        done: list[tuple[Letter, str]] = []
        with self._guarded():
            for partition in range(self.config.partitions):
                for name, target in (("dead", "commands"), ("dead:app", "events")):
                    start = f"{{{self.config.prefix}:{partition}}}:"
                    done += self._settle_dead(wanted, partition, (start + name, start + target))
        return done[: wanted.limit]

    def _settle_dead(
        self, wanted: Wanted, partition: int, keys: tuple[str, str]
    ) -> list[tuple[Letter, str]]:
        done: list[tuple[Letter, str]] = []
        last = b"-"
        while wanted.limit is None or len(done) < wanted.limit:
            page: Any = self.client().xrange(keys[0], min=last, count=100)
            for entry, fields in page:
                if wanted.limit is not None and len(done) >= wanted.limit:
                    break
                letter = Letter(
                    id=fields.get(b"id", b"").decode(errors="replace"),
                    reason=fields.get(b"reason", b"").decode(errors="replace"),
                    partition=partition,
                    is_event=keys[1].endswith(":events"),
                    time=int(entry.split(b"-")[0]) / 1000,
                )
                if wanted.fits(letter):
                    done.append(
                        (letter, self._settle_letter(wanted, letter, keys, (entry, fields)))
                    )
            if len(page) < 100:
                break
            last = b"(" + page[-1][0]
        return done

    def _settle_letter(
        self, wanted: Wanted, letter: Letter, keys: tuple[str, str], found: tuple[bytes, Any]
    ) -> str:
        verdict = wanted.verdict(letter)
        entry, fields = found
        if verdict in ("dropped", "replayed"):
            # As one: what is put back must not stay behind, and what leaves must be back.
            pipe = self.client().pipeline(transaction=True)
            if verdict == "replayed":
                alive = {name: value for name, value in fields.items() if name != b"reason"}
                pipe.xadd(keys[1], {b"v": b"1"} | alive | {b"id": wanted.id_of(letter)})
            pipe.xdel(keys[0], entry)
            pipe.execute()
        return verdict

    def close(self) -> None:
        watches.pop(self.key)
        self._watched = (0, None)
        for patience in (self.config.timeout, 2 * self.config.timeout):
            client = clients.pop((self.key, patience))
            if client is not None:
                client.close()


def _sized(*texts: str | bytes) -> list[int | bytes]:
    """Each with its length before it."""
    found: list[int | bytes] = []
    for text in texts:
        raw = text.encode() if isinstance(text, str) else text
        found += (len(raw), raw)
    return found
