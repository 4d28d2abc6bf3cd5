"""The outbox in PostgreSQL: relays side by side, one leader, and NOTIFY."""

import random
import time

import pytest

from kills import Site
from postgres import Postgres, postgres_tool
from servers import until

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")


class PostgresSite(Site):
    """A site whose database is PostgreSQL."""

    def __init__(self, queue, database, outbox):
        super().__init__(queue, outbox)
        self.database = database
        self.env["TEST_POSTGRES_PORT"] = str(database.port)

    def rows(self, query):
        with psycopg.connect(self.database.dsn) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def database():
    if not (postgres_tool("initdb") and postgres_tool("postgres")):
        pytest.skip("PostgreSQL is not installed")
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


def test_relays_side_by_side_take_different_rows(database, redis_queue, redis_server):
    redis_queue.server, redis_queue.url = redis_server, redis_server.url
    with PostgresSite(redis_queue, database, "on") as site:
        # Rows without a process that would send them, as after a death or an outage.
        site.env["TEST_OUTBOX"] = "strict"
        site.manage("ledger_write", "--start", 1, "--count", 300)
        site.env["TEST_OUTBOX"] = "on"
        assert site.waiting()
        for _ in range(3):
            site.spawn("jackfield", "relay", "--age", "0", "--interval", "0.01", "--batch", "3")
        # While they work a process goes on writing, and sends by itself.
        site.manage("ledger_write", "--start", 9_000_000, "--count", 50)
        site.judge("relays of PostgreSQL", 0)


def test_a_strict_relay_is_told_and_its_heir_goes_on(database, redis_queue, redis_server):
    redis_queue.server, redis_queue.url = redis_server, redis_server.url
    rng = random.Random(5)
    with PostgresSite(redis_queue, database, "strict") as site:
        # Nobody comes by for an hour: only what PostgreSQL tells gets anything sent.
        relays = [site.spawn("jackfield", "relay", "--interval", "3600") for _ in range(2)]
        until(lambda: site.said().count("every 3600") == 2, what=f"two relays\n{site.said()}")
        web = site.spawn("ledger_write", "--start", 1, "--seed", 1, "--pause", "0.002")
        for _ in range(4):
            start = len(site.client.numbers)
            until(lambda start=start: len(site.client.numbers) > start + 5, what=site.said())
            time.sleep(rng.random() * 0.02)  # A moment, not a wait.
            victim = relays.pop(0)
            victim.kill()
            victim.wait()
            relays.append(site.spawn("jackfield", "relay", "--interval", "3600"))
        web.kill()
        web.wait()
        relays.append(site.spawn("jackfield", "relay", "--interval", "3600"))
        committed, got = site.judge("strict relays of PostgreSQL", 4)
        assert got == committed
