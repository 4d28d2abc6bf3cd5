"""Rules of handlers, several processes and reloading, against a real Redis and RabbitMQ."""

import os
import signal
import urllib.request
import zlib
from pathlib import Path

import pytest

from servers import free_port, until
from workers import WorkerProcess, assert_in_order, partition_of, say, server_side

CLIENTS = 40


def to(channel, client, seq, name, **data):
    return say(client, seq, name, **(data or {"n": seq})) | {"channel": channel}


@pytest.fixture
def side(queue):
    one = server_side(queue)
    yield one
    one.close()


class RulesWorker(WorkerProcess):
    def __init__(self, queue, *arguments):
        super().__init__(queue, *arguments)
        self.env["DJANGO_SETTINGS_MODULE"] = "project.worker_settings"

    def children(self):
        """The processes that this one started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(one) for one in path.read_text().split()]


@pytest.fixture
def worker(queue):
    made = []

    def make(*arguments, like=None):
        one = RulesWorker(queue, *arguments)
        if like is not None:
            one.log, one.env = like.log, like.env
        made.append(one)
        return one.start()

    yield make
    for one in made:
        one.end()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_eight_lanes_keep_the_order_of_every_connection(side, worker):
    process = worker("--threads", "8")
    events = [to("meter:1", f"client-{n % CLIENTS}", n // CLIENTS + 1, "who") for n in range(1200)]
    side.write(*events)
    handled = process.wait_for([one["id"] for one in events])
    assert len(handled) == len(events)
    assert_in_order(handled)
    assert process.stop() == 0


def test_a_channel_keeps_the_order_of_its_connections(side, worker):
    # Of one partition, so that the order in which they were written is one.
    clients = [f"c{n}" for n in range(400) if zlib.crc32(f"c{n}".encode()) % 8 == 3]
    assert len(clients) > 20
    events = [
        to(f"game:{n % 3}", clients[n % len(clients)], 1 + n // len(clients), "move", n=n)
        for n in range(600)
    ]
    side.write(*events)
    process = worker("--threads", "8")
    handled = process.wait_for([one["id"] for one in events])
    for game in range(3):
        numbers = [one["n"] for one in handled if one["pk"] == game]
        assert numbers == sorted(numbers)
        assert len(numbers) == 200
    assert process.stop() == 0


def test_batches_second_tries_and_bursts(side, worker):
    readings = [to("meter:1", "device", n, "reading") for n in range(1, 301)]
    flaky = to("meter:2", "c2", 1, "flaky")
    saves = [to("meter:3", "editor", n, "save") for n in range(1, 6)]
    side.write(*readings, flaky, *saves)
    process = worker("--threads", "4")
    handled = process.wait_for([*(one["id"] for one in readings), flaky["id"]])
    until(lambda: any(one["did"] == "save" for one in process.handled()), what="the save")
    assert_in_order([one for one in handled if one["did"] == "reading"])
    assert max(one["size"] for one in handled if one["did"] == "reading") > 1
    assert [one["attempt"] for one in handled if one["did"] == "flaky"] == [3]
    assert process.stop() == 0
    assert [one["did"] for one in process.handled()].count("save") == 1
    assert side.backlog() == 0
    said = process.output.read_text()
    assert "2 tried again" in said
    assert "4 replaced by a later one" in said


def test_a_handler_that_ends_workers_is_dead_and_what_waits_behind_it_is_not(redis_queue):
    side = server_side(redis_queue)
    crash = to("meter:1", "bad", 1, "crash")
    behind = [to("meter:1", "bad", n, "who") for n in range(2, 5)]
    side.write(crash, *behind)
    process = RulesWorker(redis_queue, "--processes", "1", "--max-attempts", "3")
    try:
        process.start()
        for _ in range(3):
            assert process.process.wait(60) == -signal.SIGKILL
            process.start()
        handled = process.wait_for([one["id"] for one in behind])
        assert [one["did"] for one in handled].count("crash") == 3
        # Delivered four times, and begun once.
        assert [one["attempt"] for one in handled if one["did"] == "who"] == [2, 2, 2]
        [letter] = side.dead(1)
        assert (letter["id"], letter["reason"]) == (crash["id"], "begun 3 times, never finished")
        assert process.stop() == 0
        assert not side.client.keys(f"{{{redis_queue.prefix}:*tries*")
    finally:
        process.end()
        side.close()


def test_what_another_reads_too_late_is_handled_all_the_same(redis_queue):
    side = server_side(redis_queue)
    process = RulesWorker(redis_queue)
    first, stray, last = (to("meter:1", "late", n, "who") for n in range(1, 4))
    key = f"{{{side.prefix}:{partition_of(stray)}}}:events"
    try:
        process.start()
        side.write(first)
        process.wait_for([first["id"]])
        # The question of a worker that stood still meanwhile, served before the owner's.
        pipe = side.client.pipeline(transaction=True)
        pipe.xadd(key, stray)
        pipe.xreadgroup("app", "stood-still", {key: ">"})
        [_, [[_, [[_, taken]]]]] = pipe.execute()
        assert taken[b"id"].decode() == stray["id"]
        side.write(last)
        handled = process.wait_for([stray["id"], last["id"]])
        assert [one["attempt"] for one in handled if one["id"] == stray["id"]] == [2]
        until(lambda: side.backlog() == 0, what="an empty queue")
        assert process.stop() == 0
    finally:
        process.end()
        side.close()


def test_processes_share_the_partitions_and_come_back(side, worker):
    process = worker("--processes", "2", "--grace", "5")
    first = [to("meter:1", f"c{n}", 1, "who") for n in range(40)]
    side.write(*first)
    handled = process.wait_for([one["id"] for one in first])
    pids = {one["process"] for one in handled}
    assert pids == set(process.children())
    assert len(pids) == 2
    os.kill(min(pids), signal.SIGKILL)
    second = [to("meter:1", f"c{n}", 2, "who") for n in range(40)]
    side.write(*second)
    handled = process.wait_for([one["id"] for one in second])
    assert_in_order(handled)
    process.said("ended with SIGKILL, starts again")
    assert len(process.children()) == 2
    pids = process.children()
    assert process.stop() == 0
    assert not any(map(alive, pids))


def test_a_parent_that_is_killed_leaves_no_orphan(queue, side, worker):
    process = worker("--processes", "2", "--grace", "5")
    one = to("meter:1", "c1", 1, "who")
    side.write(one)
    process.wait_for([one["id"]])
    pids = until(lambda: len(process.children()) == 2 and process.children(), what="children")
    process.kill()
    until(lambda: not any(map(alive, pids)), what="the end of the children")
    assert "the parent process is gone" in process.output.read_text()


def test_more_processes_than_partitions_are_refused(redis_queue):
    process = RulesWorker(redis_queue, "--processes", "3", "--only-partitions", "0,1").start()
    try:
        assert process.process.wait(60) == 1
        assert "there are only 2 partitions to share" in process.output.read_text()
    finally:
        process.end()


def test_each_process_has_a_port_of_metrics(redis_queue):
    port = free_port()
    side = server_side(redis_queue)
    process = RulesWorker(redis_queue, "--processes", "2", "--metrics", str(port)).start()
    try:
        events = [to("meter:1", f"c{n}", 1, "who") for n in range(40)]
        side.write(*events)
        process.wait_for([one["id"] for one in events])

        def handled():
            total = 0
            for number in (port, port + 1):
                with urllib.request.urlopen(f"http://127.0.0.1:{number}/metrics") as answer:
                    for line in answer.read().decode().splitlines():
                        if line.startswith("jackfield_worker_events_total{") and "handled" in line:
                            total += int(line.rsplit(" ", 1)[1])
            return total == len(events)

        until(handled, what="the figures of both")
        assert process.stop() == 0
    finally:
        process.end()
        side.close()


def test_new_code_is_loaded_and_nothing_is_lost(redis_queue, tmp_path):
    app = tmp_path / "shop"
    app.mkdir()
    (app / "__init__.py").touch()
    code = (
        "from django_jackfield import on\nfrom project.chat.realtime import note\n\n\n"
        "@on('buy')\ndef buy(ctx, data):\n    note(ctx, did='{version}')\n"
    )
    module = app / "realtime.py"
    module.write_text(code.format(version="one"))
    (tmp_path / "shop_settings.py").write_text(
        "from project.settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, 'shop']\n"
    )
    side = server_side(redis_queue)
    process = RulesWorker(redis_queue, "--reload")
    process.env["DJANGO_SETTINGS_MODULE"] = "shop_settings"
    process.env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    process.env["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        process.start()
        seqs = iter(range(1, 10_000))

        def buy():
            one = say("c1", next(seqs), "buy") | {"channel": ""}
            side.write(one)
            return one["id"]

        process.wait_for([buy()])
        module.write_text(code.format(version="two"))

        def reloading():
            # What changes before the reloader looked for the first time is not seen by it.
            os.utime(module, (module.stat().st_atime + 5, module.stat().st_mtime + 5))
            return "worker: stopped" in process.output.read_text()

        until(reloading, what="the end of the first process")
        written = [buy() for _ in range(5)]
        handled = process.wait_for(written)
        did = {one["id"]: one["did"] for one in handled}
        assert {did[one] for one in written} == {"two"}
    finally:
        children = process.children()
        process.process.terminate()
        process.process.wait(30)
        until(lambda: not any(map(alive, children)), what="the end of the reloader's child")
        process.end()
        side.close()
