"""The relay: sends what its own process could not, from the outbox to the queue."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, close_old_connections, connections, router, transaction
from django.utils import timezone

from django_jackfield.aliases import InvalidAlias, brokers
from django_jackfield.delivery import send_now
from django_jackfield.errors import JackfieldError
from django_jackfield.outbox.leader import leading
from django_jackfield.outbox.store import require_app, take_out
from django_jackfield.outbox.wake import Bell

if TYPE_CHECKING:
    from django_jackfield.outbox.models import WaitingCommand

logger = logging.getLogger("django_jackfield.outbox")

METRICS_SECONDS = 60.0


class Relay:
    """Sweeps the outbox of each database, of each alias, oldest first.

    A row of an ordinary alias is left to the process that wrote it for `age_seconds`. It is sent
    and then deleted: whoever dies in between has it sent again, with the id that it had.
    """

    def __init__(
        self,
        *,
        databases: Sequence[str] = (),
        interval_seconds: float = 1.0,
        age_seconds: float = 5.0,
        batch: int = 500,
    ) -> None:
        require_app()
        self.databases = list(databases) or databases_with_outbox()
        self.interval_seconds = interval_seconds
        self.age_seconds = age_seconds
        self.batch = batch
        self.counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._troubles: dict[tuple[str, str], str] = {}
        self._bell = Bell(self.databases)

    def stop(self) -> None:
        """Asks for the end, after the batch that has begun. Safe in a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Sweeps until stopped."""
        logger.info(
            "relay: databases %s, every %g s%s",
            ", ".join(self.databases),
            self.interval_seconds,
            ", or when PostgreSQL tells" if self._bell.rings else "",
        )
        told, said = time.monotonic(), self.metrics()
        try:
            while not self._stop.is_set():
                self.sweep()
                if time.monotonic() - told >= METRICS_SECONDS:
                    told, before, said = time.monotonic(), said, self.metrics()
                    if said != before:
                        logger.info("relay: %s", said)
                close_old_connections()
                self._bell.wait(self.interval_seconds, self._stop)
        finally:
            self._bell.close()
            logger.info("relay: stopped; %s", self.metrics())

    def sweep(self) -> int:
        """Sends all that may be sent now. Gives how many were."""
        sent = 0
        for using in self.databases:
            try:
                for via in self._aliases(using):
                    sent += self._sweep(using, via)
                self._trouble_over(using, "")
            except DatabaseError as error:
                # The database comes back some day; the connection that broke is dropped here.
                self._trouble(using, "", f"database {using!r}: {error}")
                connections[using].close_if_unusable_or_obsolete()
        return sent

    def metrics(self) -> str:
        """What it has done and what waits, as one line."""
        said = {"sent": 0, "failed": 0} | dict(self.counts)
        waiting, oldest = self.waiting()
        said |= {"waiting": waiting, "oldest_seconds": round(oldest)}
        return " ".join(f"{name}={value}" for name, value in said.items())

    def waiting(self) -> tuple[int, float]:
        """How many commands wait, and for how many seconds the first of them has."""
        total, oldest = 0, 0.0
        for using in self.databases:
            rows = _rows(using)
            try:
                total += rows.count()
                first = rows.order_by("pk").values_list("created_at", flat=True).first()
            except DatabaseError:
                continue
            if first is not None:
                oldest = max(oldest, (timezone.now() - first).total_seconds())
        return total, max(0.0, oldest)

    def _aliases(self, using: str) -> list[str]:
        return sorted(_rows(using).order_by().values_list("via", flat=True).distinct())

    def _sweep(self, using: str, via: str) -> int:
        """Walks through the rows of an alias once.

        Invariant: when a partition does not take a command, what comes after it in the same
        partition is left for the next sweep, so the order within a channel is kept.
        """
        try:
            strict = brokers[via].config.outbox == "strict"
        except (InvalidAlias, ImproperlyConfigured) as error:
            self._trouble(using, via, f"commands wait for JACKFIELD[{via!r}]: {error}")
            return 0
        sent, after, blocked = 0, 0, set[int]()
        while not self._stop.is_set():
            with self._batch_of(using, via, after, strict) as rows:
                gone = self._send(using, via, rows, blocked)
                take_out(using, [row.pk for row in gone])
            sent += len(gone)
            self.counts["sent"] += len(gone)
            if len(rows) < self.batch or len(blocked) == brokers[via].config.partitions:
                break
            after = rows[-1].pk
        if not blocked and sent:
            self._trouble_over(using, via)
        return sent

    @contextmanager
    def _batch_of(
        self, using: str, via: str, after: int, strict: bool
    ) -> Iterator[list[WaitingCommand]]:
        """The next rows; locked, where the database can, until their fate is written."""
        connection: Any = connections[using]
        rows = _rows(using).filter(via=via, pk__gt=after).order_by("pk")
        if strict:
            with leading(connection, via) as led:
                yield list(rows[: self.batch]) if led else []
            return
        rows = rows.filter(created_at__lt=timezone.now() - timedelta(seconds=self.age_seconds))
        locks = connection.features.has_select_for_update_skip_locked
        # Without row locks two relays may send the same; the server drops the second.
        with transaction.atomic(using=using) if locks else nullcontext():
            if locks:
                rows = rows.select_for_update(skip_locked=True)
            yield list(rows[: self.batch])

    def _send(
        self, using: str, via: str, rows: Sequence[WaitingCommand], blocked: set[int]
    ) -> list[WaitingCommand]:
        """Sends rows; gives those that the queue has, and adds to `blocked` what it refused."""
        partitions = brokers[via].config.partitions
        wanted = [row for row in rows if row.command.partition(partitions) not in blocked]
        if not wanted:
            return []
        error = self._try(via, wanted)
        if error is None:
            return wanted
        self._trouble(using, via, f"{error}")
        by_partition: dict[int, list[WaitingCommand]] = {}
        for row in wanted:
            by_partition.setdefault(row.command.partition(partitions), []).append(row)
        gone: list[WaitingCommand] = []
        for partition, some in by_partition.items():
            # A single partition may be full. In an outage the breaker makes this cheap.
            if len(by_partition) > 1 and self._try(via, some) is None:
                gone += some
            else:
                blocked.add(partition)
        return gone

    def _try(self, via: str, rows: Sequence[WaitingCommand]) -> JackfieldError | None:
        try:
            send_now([row.command for row in rows], via)
        except JackfieldError as error:
            self.counts["failed"] += 1
            return error
        return None

    def _trouble(self, using: str, via: str, what: str) -> None:
        """Says that something waits; again only when it has gone well in between."""
        if (using, via) not in self._troubles:
            self._troubles[using, via] = what
            logger.warning("relay: %s", what)

    def _trouble_over(self, using: str, via: str) -> None:
        if self._troubles.pop((using, via), None) is not None:
            logger.info("relay: database %r%s: going on", using, f", alias {via!r}" if via else "")


def databases_with_outbox() -> list[str]:
    """The databases that the routers let the outbox have, if its table is there."""
    from django_jackfield.outbox.models import WaitingCommand

    found = []
    for using in connections:
        if not router.allow_migrate_model(using, WaitingCommand):
            continue
        try:
            with connections[using].cursor() as cursor:
                tables = connections[using].introspection.table_names(cursor)
        except DatabaseError as error:
            # It may only be away for a moment: a relay must not start without it.
            logger.warning("relay: database %r does not tell its tables: %s", using, error)
            found.append(using)
            continue
        if WaitingCommand._meta.db_table in tables:
            found.append(using)
    if not found:
        raise ImproperlyConfigured(
            "No database has the table of the outbox: run `manage.py migrate`."
        )
    return found


@contextmanager
def in_background(**options: Any) -> Iterator[Relay]:
    """A relay in a thread of its own, such as beside a worker."""
    relay = Relay(**options)

    def work() -> None:
        try:
            relay.run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=work, name="relay", daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.stop()
        thread.join(30)


def _rows(using: str) -> Any:
    from django_jackfield.outbox.models import WaitingCommand

    return WaitingCommand._base_manager.using(using)
