"""The order in which a Redis feed hands over events: its worker stands still, its line breaks."""

import queue
import threading

import pytest
import redis

from django_jackfield import brokers
from django_jackfield.dispatch import DONE
from servers import until
from workers import event, partition_of, server_side

CLIENT = "c1"
NUMBER = partition_of({"client": CLIENT})


class Lane:
    """A sink with a single lane, which begins when it is let."""

    max_attempts = 20

    def __init__(self):
        self.came = queue.SimpleQueue()
        self.count = 0
        self.handled = []
        self.may_begin = threading.Event()
        self.on_submit = lambda count, seq: None

    def submit(self, delivery, timeout):
        self.came.put(delivery)
        self.count += 1
        self.on_submit(self.count, int(delivery.fields["seq"]))
        return True

    def work(self, feed):
        """Handles what came, in the order in which it came."""
        self.may_begin.wait(60)
        while not feed.closing.is_set():
            try:
                delivery = self.came.get(timeout=0.05)
            except queue.Empty:
                continue
            if feed.admit(delivery):
                self.handled.append(int(delivery.fields["seq"]))
                feed.settle(delivery, DONE)


@pytest.fixture
def side(redis_queue):
    one = server_side(redis_queue)
    yield one
    one.close()


@pytest.fixture
def lane(redis_queue, side, use):
    """A lane whose feed reads one partition; started by the test."""
    use(redis_queue)
    lane = Lane()
    lane.feed = brokers["default"].feed(lane, [NUMBER])
    threads = [threading.Thread(target=lane.work, args=[lane.feed], daemon=True)]

    def start():
        lane.feed.start()
        threads[0].start()

    lane.start = start
    yield lane
    lane.may_begin.set()
    lane.feed.stop_reading()
    assert lane.feed.close(20)


def test_a_worker_that_stood_still_in_mid_batch_keeps_the_order(side, lane):
    side.write(*(event(CLIENT, seq) for seq in range(1, 21)))

    def stand_still(count, seq):
        if count == 5:
            # Longer than a lease: somebody else may have had it.
            lane.feed.partitions[NUMBER]._renewed -= 10
        if seq == 20:
            lane.may_begin.set()

    lane.on_submit = stand_still
    lane.start()
    until(lambda: len(lane.handled) >= 20, what="20 events")
    assert lane.handled == list(range(1, 21))


def test_a_worker_that_stood_still_while_it_claims_keeps_the_order(side, lane):
    side.write(*(event(CLIENT, seq) for seq in range(1, 301)))
    events = f"{{{side.prefix}:{NUMBER}}}:events"
    side.client.xgroup_create(events, "app", id="0", mkstream=True)
    assert side.client.xreadgroup("app", "who was here before", {events: ">"}, count=250)

    def stand_still(count, seq):
        if count in (50, 170):
            lane.feed.partitions[NUMBER]._renewed -= 10
        if seq == 300:
            lane.may_begin.set()

    lane.on_submit = stand_still
    lane.start()
    until(lambda: len(lane.handled) >= 300, what="300 events")
    assert lane.handled == list(range(1, 301))


def test_what_was_read_when_the_connection_broke_comes_first(side, lane, monkeypatch):
    read = redis.connection.Connection.read_response
    lost = []

    def cut(connection, *args, **more):
        answer = read(connection, *args, **more)
        if not lost and isinstance(answer, list) and ":events" in str(answer[:1]):
            lost.append(answer)
            side.write(*(event(CLIENT, seq) for seq in range(4, 7)))
            connection.disconnect()
            raise redis.ConnectionError("the line was cut")
        return answer

    side.write(*(event(CLIENT, seq) for seq in range(1, 4)))
    monkeypatch.setattr(redis.connection.Connection, "read_response", cut)
    lane.may_begin.set()
    lane.start()
    until(lambda: len(lane.handled) >= 6, what="6 events")
    assert lost
    assert lane.handled == [1, 2, 3, 4, 5, 6]
