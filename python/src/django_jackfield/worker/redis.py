"""Events from Redis streams: a lease per partition, claims before reads, XACK and XDEL after."""

from __future__ import annotations

import logging
import os
import queue
import random
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis

from django_jackfield.dispatch import Outcome
from django_jackfield.event import OTHER_FIELDS, TEXT_FIELDS
from django_jackfield.worker.feed import Backoff, Delivery, Outage, Sink

if TYPE_CHECKING:
    from django_jackfield.backends.redis import RedisBackend

logger = logging.getLogger("django_jackfield.worker")

GROUP = "app"
LEASE_MS = 5000
RENEW_SECONDS = 1.0
LEASE_MARGIN_SECONDS = 1.0
POLL_SECONDS = 0.25
TAKE_PAUSE_SECONDS = 0.05
BLOCK_MS = 1000
READ_COUNT = 32
CLAIM_COUNT = 100
DEAD_MAXLEN = 10_000
ANSWER_TTL_MS = 60_000
TRIES_TTL_MS = 24 * 3600 * 1000
PATIENCE_SECONDS = 5.0
GATHER_SECONDS = 0.005
FAILURES = (redis.RedisError, OSError)


class RedisFeed:
    """A thread per partition that leases and reads it, and one that settles in batches.

    Why a thread and a stream each: in a Redis Cluster the partitions live in different slots.
    """

    capacity: int | None = 1024
    most_attempts: int | None = None

    def __init__(self, backend: RedisBackend, sink: Sink, partitions: Sequence[int]) -> None:
        self.backend = backend
        self.sink = sink
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.outage = Outage(backend.where)
        self.stopping = threading.Event()
        self.closing = threading.Event()
        self.partitions = {number: Partition(self, number) for number in partitions}
        self._settled: queue.SimpleQueue[tuple[Delivery, Outcome] | None] = queue.SimpleQueue()
        self._urgent = threading.Event()
        self._threads: list[threading.Thread] = []
        self._settler = threading.Thread(target=self._settle_all, name="settle", daemon=True)
        self._taking = threading.Lock()
        self._next_take = 0.0

    @property
    def client(self) -> redis.Redis:
        """A client whose reads may block, and which sends nothing twice by itself.

        Why: the answer to a read may be lost with the connection. What it brought is claimed before
        the next read; the same read, sent again, would bring what comes after it.
        """
        return self.backend.client(PATIENCE_SECONDS, again=0)

    def describe(self) -> str:
        return f"{self.backend.where}, partitions {ranges(list(self.partitions))}"

    def start(self) -> None:
        numbers = list(self.partitions)
        random.shuffle(numbers)
        for number in numbers:
            thread = threading.Thread(
                target=self.partitions[number].run, name=f"partition-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        self._settler.start()

    def may_take(self) -> bool:
        """Whether a lease may be taken: slowly, so that workers that start together share."""
        with self._taking:
            now = time.monotonic()
            if now < self._next_take:
                return False
            self._next_take = now + TAKE_PAUSE_SECONDS
            return True

    def admit(self, delivery: Delivery) -> bool:
        number, entry, epoch = delivery.tag
        return self.partitions[number].admit(entry, epoch)

    def attempt(self, delivery: Delivery) -> int:
        """The length of a list in Redis: each try of what was delivered again adds to it."""
        if delivery.attempt == 1:
            return 1
        key = self._tries(delivery)
        try:
            pipe: Any = self.client.pipeline(transaction=False)
            pipe.rpush(key, self.name)
            pipe.pexpire(key, TRIES_TTL_MS)
            tries: int = pipe.execute()[0]
        except FAILURES as error:
            logger.warning("how often %r was tried is not known: %s", key, error)
            return delivery.attempt
        return 1 + tries

    def _tries(self, delivery: Delivery) -> str:
        number, entry, _ = delivery.tag
        return f"{self.partitions[number].key('tries')}:{entry.decode()}"

    def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        self._settled.put((delivery, outcome))
        if outcome.answer is not None:
            self._urgent.set()

    def stop_reading(self) -> None:
        self.stopping.set()

    def close(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        self._settled.put(None)
        self._urgent.set()
        self._settler.join(max(0.1, end - time.monotonic()))
        self.closing.set()
        for thread in self._threads:
            thread.join(max(0.1, end - time.monotonic()))
        try:
            for partition in self.partitions.values():
                partition.release()
        except FAILURES as error:
            logger.warning("the leases were not released, they run out by themselves: %s", error)
        return not self._settler.is_alive()

    def _settle_all(self) -> None:
        last = False
        while not last:
            batch = [self._settled.get()]
            # A pipeline for each event would cost as much as its handler; answers do not wait.
            self._urgent.wait(GATHER_SECONDS)
            self._urgent.clear()
            while not self._settled.empty() and len(batch) < 256:
                batch.append(self._settled.get())
            last = None in batch
            items = [item for item in batch if item is not None]
            backoff = Backoff()
            while items:
                tried = time.monotonic()
                try:
                    self._settle_batch(items)
                    break
                except FAILURES as error:
                    self.outage.began(error, tried)
                    backoff.wait(self.closing.wait)
                    if self.closing.is_set():
                        return

    def _settle_batch(self, items: list[tuple[Delivery, Outcome]]) -> None:
        """Answers and dead letters first, then acknowledges; in one pipeline."""
        pipe: Any = self.client.pipeline(transaction=False)
        entries: dict[int, list[bytes]] = {}
        for delivery, outcome in items:
            number, entry, _ = delivery.tag
            entries.setdefault(number, []).append(entry)
            if delivery.attempt > 1:
                pipe.delete(self._tries(delivery))
            reply_to = delivery.fields.get("reply_to")
            if outcome.answer is not None and reply_to:
                pipe.rpush(reply_to, outcome.answer)
                pipe.pexpire(reply_to, ANSWER_TTL_MS)
            if outcome.dead:
                fields: Any = {"reason": outcome.dead} | dict(delivery.fields)
                key = self.partitions[number].key("dead:app")
                pipe.xadd(key, fields, maxlen=DEAD_MAXLEN, approximate=True)
        for number, ids in entries.items():
            pipe.xack(self.partitions[number].key("events"), GROUP, *ids)
            pipe.xdel(self.partitions[number].key("events"), *ids)
        for result in pipe.execute(raise_on_error=False):
            if isinstance(result, redis.ConnectionError | redis.TimeoutError):
                raise result
            if isinstance(result, Exception):
                logger.error("an outcome could not be written: %s", result)
        for number, ids in entries.items():
            self.partitions[number].forget(ids)


class Partition:
    """One stream of events and the right to read it.

    Invariant: an entry in `waiting` is in a lane, one in `started` was handed to a handler and is
    not acknowledged yet; a claim takes neither again. With each lease a new epoch begins: lanes
    drop what an older epoch left waiting, the rest of what was read in it is dropped, too, and the
    claim brings both back in order.
    """

    def __init__(self, feed: RedisFeed, number: int) -> None:
        self.feed = feed
        self.number = number
        self.waiting: set[bytes] = set()
        self.started: set[bytes] = set()
        self._settled_meanwhile: set[bytes] | None = None
        self.epoch = 0
        self._lock = threading.Lock()
        self._renewed: float | None = None
        self._must_claim = True
        self._looked = 0.0

    def key(self, name: str) -> str:
        """A key of this partition."""
        return f"{{{self.feed.backend.config.prefix}:{self.number}}}:{name}"

    @property
    def held(self) -> bool:
        """Whether the lease is ours for sure."""
        bound = LEASE_MS / 1000 - LEASE_MARGIN_SECONDS
        return self._renewed is not None and time.monotonic() - self._renewed < bound

    def run(self) -> None:
        """The life of the thread: lease, claim, read; after a stop only renew."""
        feed, backoff = self.feed, Backoff()
        while not feed.closing.is_set():
            tried = time.monotonic()
            try:
                leased = self._lease()
                if leased and not feed.stopping.is_set():
                    self._read()
                else:
                    feed.closing.wait(POLL_SECONDS)
                feed.outage.over()
                backoff.reset()
            except FAILURES as error:
                if isinstance(error, redis.ResponseError) and "NOGROUP" in str(error):
                    self._renewed = None
                    continue
                self._must_claim = True
                feed.outage.began(error, tried)
                backoff.wait(feed.closing.wait)

    def admit(self, entry: bytes, epoch: int) -> bool:
        """Whether the lease still stands; if not, whoever has it next will claim the entry."""
        with self._lock:
            if epoch != self.epoch:
                return False
            self.waiting.discard(entry)
            if not self.held:
                self._must_claim = True
                return False
            self.started.add(entry)
            return True

    def forget(self, entries: list[bytes]) -> None:
        """Drops entries that are acknowledged."""
        with self._lock:
            self.started.difference_update(entries)
            if self._settled_meanwhile is not None:
                self._settled_meanwhile.update(entries)

    def release(self) -> None:
        """Gives the lease back."""
        if self.held and self.feed.client.get(self.key("lease:app")) == self.feed.name.encode():
            self.feed.client.delete(self.key("lease:app"))
        self._renewed = None

    def _lease(self) -> bool:
        """Takes or renews the lease. There is no EVAL: a renewal is a GET and a PEXPIRE."""
        now, client, key = time.monotonic(), self.feed.client, self.key("lease:app")
        if self._renewed is not None and now - self._renewed < RENEW_SECONDS:
            return True
        if self._renewed is None:
            if self.feed.stopping.is_set() or not self.feed.may_take():
                return False
            if client.set(key, self.feed.name, nx=True, px=LEASE_MS):
                self._gained(now)
                return True
        if client.get(key) == self.feed.name.encode() and client.pexpire(key, LEASE_MS):
            with self._lock:
                # Under the lock: a lane that was refused an entry must find a new epoch.
                lapsed = not self.held
                if not lapsed:
                    self._renewed = now
            if lapsed:
                self._gained(now)
            return True
        if self._renewed is not None:
            logger.warning("partition %d was taken over by another worker", self.number)
        self._renewed = None
        return False

    def _gained(self, now: float) -> None:
        try:
            self.feed.client.xgroup_create(self.key("events"), GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        with self._lock:
            self.epoch += 1
            self.waiting.clear()
            self._renewed = now
            self._must_claim = True
        logger.debug("partition %d is ours", self.number)

    def _strays(self) -> bool:
        """Whether another worker has entries on loan, though the lease is ours.

        Why: it may have asked for them when the lease was its own, and the question came late, from
        behind a line that was cut or a process that stood still. It handles none of them.
        """
        now = time.monotonic()
        if now - self._looked < LEASE_MS / 1000:
            return False
        self._looked = now
        loans: Any = self.feed.client.xpending(self.key("events"), GROUP)
        return any(one["name"] != self.feed.name.encode() for one in loans["consumers"])

    def _read(self) -> None:
        epoch = self.epoch
        if self._must_claim or self._strays():
            self._must_claim = False
            # Why: what is acknowledged between a claim and its answer must not be taken again.
            self._settled_meanwhile = set()
            try:
                if not self._claim(epoch):
                    return
            finally:
                self._settled_meanwhile = None
        streams: Any = self.feed.client.xreadgroup(
            GROUP, self.feed.name, {self.key("events"): ">"}, count=READ_COUNT, block=BLOCK_MS
        )
        for _, entries in streams or ():
            self._submit(entries, {}, epoch)

    def _claim(self, epoch: int) -> bool:
        """What a worker before us (or we, before a broken connection) left unfinished.

        False if a new epoch began meanwhile: then all of it is to be claimed once more.
        """
        client, key, cursor = self.feed.client, self.key("events"), b"0-0"
        while True:
            answer: Any = client.xautoclaim(key, GROUP, self.feed.name, 0, cursor, CLAIM_COUNT)
            cursor, entries = answer[0], [e for e in answer[1] if e[0] is not None and e[1]]
            if entries:
                pending: Any = client.xpending_range(
                    key, GROUP, entries[0][0], entries[-1][0], CLAIM_COUNT, self.feed.name
                )
                attempts = {one["message_id"]: one["times_delivered"] for one in pending}
                if not self._submit(entries, attempts, epoch):
                    return False
            if cursor in (b"0-0", "0-0"):
                return True

    def _submit(self, entries: Any, attempts: dict[bytes, int], epoch: int) -> bool:
        """Puts entries into lanes; while there is no room, keeps the lease alive.

        False if their epoch ended or the lease was lost: lanes drop what they have of them, and
        none of the rest may be handled before that.
        """
        for entry, raw in entries:
            with self._lock:
                if epoch != self.epoch:
                    return False
                settled = self._settled_meanwhile or ()
                if entry in self.waiting or entry in self.started or entry in settled:
                    continue
                self.waiting.add(entry)
            fields = {_NAMES.get(name) or _name(name): value for name, value in raw.items()}
            delivery = Delivery(fields, attempts.get(entry, 1), (self.number, entry, epoch))
            while not self.feed.sink.submit(delivery, timeout=0.5):
                if self.feed.closing.is_set() or not self._lease() or epoch != self.epoch:
                    with self._lock:
                        if epoch == self.epoch:
                            self.waiting.discard(entry)
                        self._must_claim = True
                    return False
            if time.monotonic() - (self._renewed or 0.0) > RENEW_SECONDS and not self._lease():
                self._must_claim = True
                return False
        return True


_NAMES = {name.encode(): name for name in (*TEXT_FIELDS, *OTHER_FIELDS)}


def _name(raw: bytes) -> str:
    return raw.decode(errors="replace")


def ranges(numbers: list[int]) -> str:
    """`0-7`, or `0, 2, 5`."""
    numbers = sorted(numbers)
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))
