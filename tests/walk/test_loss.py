"""Kills and outages while numbers flow: what was acknowledged is handled, in both directions."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

import pytest
import redis
from clients import Client, Flood
from serving import wait_for
from stage import PARTITIONS, Program, Stage

ALL = ["embedded", "redis", "rabbitmq"]
APART = ["redis", "rabbitmq"]
CLIENTS, EACH = 8, 1250
TOTAL = CLIENTS * EACH
ROOMS, NUMBERS = 4, 1250

Make = Callable[[str], Stage]
Say = Callable[[str], None]


def break_off(kind: str, queue: object) -> None:
    """Redis is killed; RabbitMQ is stopped, as its quorum queues promise nothing about a single node that is killed."""
    if kind == "redis":
        queue.kill()  # type: ignore[attr-defined]
    else:
        queue.signal(signal.SIGTERM)  # type: ignore[attr-defined]
        queue.process.wait(60)  # type: ignore[attr-defined]


def assert_all_handled(stage: Stage, flood: Flood) -> None:
    assert len(flood.acknowledged) == len(set(flood.acknowledged)) == TOTAL
    wait_for(lambda: stage.notes() >= TOTAL, "every note in the database", 120)
    texts = {row[0] for row in stage.rows("select text from rooms_note")}
    assert texts == set(flood.acknowledged)


@pytest.mark.parametrize("kind", ALL)
def test_a_killed_worker_loses_no_message(kind: str, make_stage: Make, say: Say) -> None:
    stage, start = make_stage(kind), time.monotonic()
    worker = stage.worker()
    flood = Flood(stage.crowd(CLIENTS), EACH).start()
    wait_for(lambda: len(flood.acknowledged) >= TOTAL // 4 and stage.notes() > 0, "a quarter of the messages")
    worker.kill()
    worker = stage.worker()
    wait_for(lambda: stage.notes() >= TOTAL // 2, "half of the notes", 60)
    worker.kill()
    worker = stage.worker()
    flood.end()
    assert_all_handled(stage, flood)
    assert flood.retries == 0
    for number in range(CLIENTS):
        query = "select text from rooms_note where text like ? order by id"
        texts = [row[0] for row in stage.rows(query, f"{number}-%")]
        assert texts == sorted(texts), "the first handling of each message is in the order of its connection"
    worker.end()
    assert stage.dead() == []
    say(f"worker killed twice, {kind}: {TOTAL} messages, {stage.doubles()} doubles, {time.monotonic() - start:.1f} s")


@pytest.mark.parametrize("kind", APART)
def test_a_restarted_queue_loses_no_message(kind: str, make_stage: Make, say: Say) -> None:
    stage, start = make_stage(kind), time.monotonic()
    stage.worker()
    flood = Flood(stage.crowd(CLIENTS), EACH).start()
    wait_for(lambda: len(flood.acknowledged) >= TOTAL // 4, "a quarter of the messages")
    break_off(kind, stage.queue)
    stage.queue.start()
    flood.end()
    assert_all_handled(stage, flood)
    assert flood.retries > 0
    assert stage.dead() == []
    say(
        f"queue restarted, {kind}: {TOTAL} messages, {flood.retries} retries, "
        f"{stage.doubles()} doubles, {time.monotonic() - start:.1f} s"
    )


def pour(stage: Stage) -> Program:
    rooms = [str(room + 1) for room in range(ROOMS)]
    return stage.program("pour", "manage.py", "pour", str(NUMBERS), *rooms)


def numbers(client: Client, room: int) -> list[int]:
    return [data["n"] for data in client.heard(f"room:{room}")]


def heard(client: Client) -> int:
    return sum(len(publications) for publications in client.publications.values())


@pytest.mark.parametrize("kind", APART)
def test_a_restarted_queue_loses_no_publication(kind: str, make_stage: Make, say: Say) -> None:
    stage, start = make_stage(kind), time.monotonic()
    rooms = [f"room:{room + 1}" for room in range(ROOMS)]
    listeners = [stage.websocket("1").join(*rooms), stage.lines("2").join(*rooms)]
    pouring = pour(stage)
    wait_for(lambda: heard(listeners[0]) >= ROOMS * NUMBERS // 4, "a quarter of the publications", 60)
    break_off(kind, stage.queue)
    stage.queue.start()
    again = re.search(r"again (\d+)", pouring.wait(90))
    assert again and int(again[1]) > 0
    for listener in listeners:
        wait_for(lambda listener=listener: heard(listener) >= ROOMS * NUMBERS, "every publication")
        for room in rooms:
            publications = listener.publications[room]
            assert [one["offset"] for one in publications] == list(range(1, NUMBERS + 1))
            assert [one["data"]["n"] for one in publications] == list(range(1, NUMBERS + 1))
    assert stage.dead() == []
    say(
        f"queue restarted, {kind}: {ROOMS * NUMBERS} publications, each exactly once and in order, "
        f"{again[1]} retries, {time.monotonic() - start:.1f} s"
    )


@pytest.mark.parametrize("kind", APART)
def test_a_killed_server_leaves_its_commands_to_the_next(kind: str, make_stage: Make, say: Say) -> None:
    stage, start = make_stage(kind), time.monotonic()
    stage.gunicorn()
    rooms = [f"room:{room + 1}" for room in range(ROOMS)]
    listener = stage.websocket("1").join(*rooms)
    pouring = pour(stage)
    wait_for(lambda: heard(listener) >= ROOMS * NUMBERS // 4, "a quarter of the publications", 60)
    stage.kill_server()
    listener.gone()
    on_loan = borrow(stage) if kind == "redis" else 0
    stage.server.start()
    pouring.wait(90)
    doubles = 0
    for room in range(1, ROOMS + 1):
        before = numbers(listener, room)

        def after(room: int = room) -> list[int]:
            return history(stage, f"room:{room}")

        wait_for(lambda after=after: NUMBERS in after()[-1:], f"the last number of room {room}")
        late = after()
        assert late == sorted(late) and before == sorted(before)
        assert set(before) | set(late) == set(range(1, NUMBERS + 1))
        doubles += len(set(before) & set(late))
    assert stage.dead() == []
    say(
        f"server killed, {kind}: {ROOMS * NUMBERS} publications, {heard(listener)} heard before, "
        f"{on_loan} surely on loan to the dead, {doubles} doubles, {time.monotonic() - start:.1f} s"
    )


def borrow(stage: Stage) -> int:
    """Reads commands and settles none, as a server does that is killed half-way. RabbitMQ takes them back by itself."""
    client = redis.Redis.from_url(stage.queue.admin_url, protocol=2)
    streams = [f"{{{stage.prefix}:{partition}}}:commands" for partition in range(PARTITIONS)]
    try:
        # The dead server's own: each node reads by one of its own.
        group = client.xinfo_groups(streams[0])[0]["name"]
        found = wait_for(
            lambda: client.xreadgroup(group, "jackfield", dict.fromkeys(streams, ">"), count=20),
            "commands that nobody has read",
        )
        return sum(len(entries) for _, entries in found)
    finally:
        client.close()


def history(stage: Stage, channel: str) -> list[int]:
    """All that the server remembers of a channel, page by page; empty while nobody answers."""
    found: list[int] = []
    since = None
    while True:
        page = stage.ask("history", channel=channel, limit=300, since=since)
        if not page or not page["publications"]:
            return found
        found += [one["data"]["n"] for one in page["publications"]]
        since = {"offset": page["publications"][-1]["offset"], "epoch": page["epoch"]}
