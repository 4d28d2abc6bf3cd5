"""The worker process against a real Redis and a real RabbitMQ."""

import re
import time

import pytest

from django_jackfield.worker.feed import Outage
from servers import until
from workers import BY_NAME, WorkerProcess, assert_in_order, event, say, server_side

CLIENTS = 40


@pytest.fixture
def side(queue):
    one = server_side(queue)
    yield one
    one.close()


@pytest.fixture
def worker(queue):
    """Makes workers and ends them."""
    made = []

    def make(*arguments, like=None):
        one = WorkerProcess(queue, *arguments)
        if like is not None:
            one.log, one.env = like.log, like.env
        made.append(one)
        return one.start()

    yield make
    for one in made:
        one.end()


def flood(count):
    """Events of many connections, in turn."""
    return [say(f"client-{n % CLIENTS}", n // CLIENTS + 1) for n in range(count)]


def test_every_example_is_handled(side, worker):
    process = worker()
    deadline = str(int(time.time() * 1000) + 60_000)
    message, notice, raw = (
        BY_NAME[name] for name in ("message through a channel", "disconnect notice", "raw text")
    )
    side.write(message, notice, raw)
    seen = {one["did"]: one for one in process.wait_for([f["id"] for f in (message, notice, raw)])}
    assert seen["say"]["data"] == {"text": "hi"}
    assert seen["say"]["pk"] == 1
    assert seen["disconnected"]["code"] == 3001
    assert seen["hello"]["data"] == "Hello Server!"
    told = [
        BY_NAME[name]
        for name in (
            *("subscribe notice", "unsubscribe notice", "occupied", "vacated"),
            *("undelivered send", "notices lost"),
        )
    ]
    side.write(*told)
    did = {one["id"]: one["did"] for one in process.wait_for([one["id"] for one in told[:-1]])}
    assert [did[one["id"]] for one in told[:-1]] == [
        *("subscribed", "unsubscribed", "occupied", "vacated", "undelivered"),
    ]
    side.write(BY_NAME["rpc call"] | {"deadline": deadline})
    assert side.answer() == {
        "v": 1,
        "id": BY_NAME["rpc call"]["id"],
        "result": {"data": {"pk": 7, "title": "none"}},
    }
    side.write(BY_NAME["connect call"] | {"deadline": deadline})
    assert side.answer()["result"] == {
        "user": "42",
        "info": {"name": "Ann"},
        "meta": {"plan": "pro"},
    }
    side.write(BY_NAME["rpc call"])
    assert process.stop() == 0
    said = process.output.read_text()
    assert "partitions 0-7; 8 threads; 2 channels, 2 message functions, 7 rpcs" in said


def test_an_expired_call_is_dropped_and_counted(side, worker):
    process = worker()
    late = BY_NAME["rpc call"]
    after = say(late["client"], 9)
    side.write(late, after)
    process.wait_for([after["id"]])
    assert process.stop() == 0
    assert "1 expired" in process.output.read_text()
    assert late["id"] not in {one["id"] for one in process.handled()}


def test_a_failing_handler_goes_to_the_dead_letters_and_the_next_goes_on(side, worker, queue):
    process = worker()
    bad, nobody, after = say("c1", 1, name="fail"), say("c1", 2, name="nobody"), say("c1", 3)
    garbled = event("c1", 4, type="nonsense")
    side.write(bad, nobody, garbled, after)
    process.wait_for([after["id"]])
    letters = {one["id"]: one for one in side.dead(3)}
    assert letters[bad["id"]]["reason"] == "RuntimeError: this handler always fails"
    assert letters[bad["id"]]["data"] == bad["data"]
    assert letters[bad["id"]]["channel"] == "room:1"
    assert "no handler" in letters[nobody["id"]]["reason"]
    assert "unknown type" in letters[garbled["id"]]["reason"]
    assert process.stop() == 0
    said = process.output.read_text()
    assert "Traceback" in said
    assert "3 dead" in said


def test_order_per_connection_and_parallel_between_them(side, worker):
    slow, quick = say("slow", 1, hold=True), [say("quick", n) for n in range(1, 50)]
    behind = say("slow", 2)
    side.write(slow, behind, *quick)
    process = worker()
    process.wait_for([one["id"] for one in quick])
    process.log.with_suffix(".go").touch()
    handled = process.wait_for([one["id"] for one in (slow, behind, *quick)])
    assert_in_order(handled)
    assert [one["id"] for one in handled[-2:]] == [slow["id"], behind["id"]]
    assert process.stop() == 0


def test_a_killed_worker_loses_nothing(side, worker, queue):
    in_hand = say("slow", 1, hold=True)
    events = [in_hand, *flood(2000)]
    first = worker()
    side.write(*events[:1000])
    until(first.log.with_suffix(".begun").exists, what="the slow handler")
    until(lambda: len(first.handled()) > 200, what="a part of the events")
    first.kill()
    assert in_hand["id"] not in {one["id"] for one in first.handled()}
    side.write(*events[1000:])
    second = worker(like=first)
    handled = second.wait_for([one["id"] for one in events])
    assert_in_order(handled)
    assert [one["attempt"] for one in handled if one["id"] == in_hand["id"]] == [2]
    assert second.stop() == 0
    twice = len(handled) - len({one["id"] for one in handled})
    assert twice <= 1100
    print(f"{queue.kind}: 2001 events, {twice} handled twice, 0 missing")  # noqa: T201


def test_sigterm_finishes_what_has_begun_and_leaves_the_rest(side, worker):
    first = worker("--threads", "2")
    begun = say("slow", 1, wait=2)
    side.write(begun)
    until(first.log.with_suffix(".begun").exists, what="the handler")
    assert first.stop() == 0
    assert [one["id"] for one in first.handled()] == [begun["id"]]
    rest = [say("slow", n) for n in range(2, 30)]
    side.write(*rest)
    second = worker(like=first)
    handled = second.wait_for([one["id"] for one in rest])
    assert [one["id"] for one in handled].count(begun["id"]) == 1
    assert_in_order(handled)
    assert second.stop() == 0


def test_a_handler_that_outlives_the_grace_is_left_for_the_next_worker(side, worker):
    first = worker("--grace", "0.2")
    stuck = say("slow", 1, hold=True)
    side.write(stuck)
    until(first.log.with_suffix(".begun").exists, what="the handler")
    assert first.stop() == 1
    assert "1 left for the next worker" in first.output.read_text()
    second = worker(like=first)
    handled = second.wait_for([stuck["id"]])
    assert handled[0]["attempt"] == 2
    assert second.stop() == 0


def test_several_workers_share(side, worker):
    events = flood(400)
    first = worker("--only-partitions", "0-3")
    second = worker("--only-partitions", "4-7", like=first)
    side.write(*events)
    handled = first.wait_for([one["id"] for one in events])
    assert len(handled) == len(events)
    assert_in_order(handled)
    assert first.stop() == second.stop() == 0


def test_a_queue_that_is_down_at_the_start_is_waited_for(killable_queue):
    queue = killable_queue
    queue.server.kill()
    process = WorkerProcess(queue).start()
    try:
        process.said("is gone")
        queue.server.start()
        process.said("is back")
        side = server_side(queue)
        one = say("c1", 1)
        side.write(one)
        process.wait_for([one["id"]])
        side.close()
        assert process.stop() == 0
        # Eight threads notice it, and one says so. A machine that stands still may bring another.
        told = re.findall("is gone|is back after", process.output.read_text())
        assert told == ["is gone", "is back after"] * (len(told) // 2)
    finally:
        process.end()
        if queue.server.process.poll() is not None:
            queue.server.start()


def test_a_queue_killed_in_mid_flow_loses_nothing(killable_queue):
    queue = killable_queue
    events = flood(2000)
    side = server_side(queue)
    process = WorkerProcess(queue).start()
    try:
        side.write(*events[:1000])
        until(lambda: len(process.handled()) > 200, what="a part of the events")
        side.close()
        queue.server.kill()
        process.said("is gone")
        queue.server.start()
        side = server_side(queue)
        side.write(*events[1000:])
        handled = process.wait_for([one["id"] for one in events])
        assert_in_order(handled)
        side.close()
        assert process.stop() == 0
        twice = len(handled) - len({one["id"] for one in handled})
        print(f"{queue.kind} killed: 2000 events, {twice} twice, 0 missing")  # noqa: T201
    finally:
        process.end()
        if queue.server.process.poll() is not None:
            queue.server.start()


def test_a_late_word_of_an_outage_that_is_over_begins_no_other(caplog):
    outage = Outage("the queue")
    tried = time.monotonic()
    with caplog.at_level("WARNING", "django_jackfield.worker"):
        outage.began(ConnectionError("refused"), tried)
        outage.over()
        outage.began(ConnectionError("refused"), tried)
        assert [record.message.split(",")[0][:17] for record in caplog.records] == [
            "the queue is gone",
            "the queue is back",
        ]
        outage.began(ConnectionError("refused"), time.monotonic())
    assert len(caplog.records) == 3
