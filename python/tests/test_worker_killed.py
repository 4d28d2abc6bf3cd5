"""Workers over RabbitMQ that are killed more often than the broker delivers an event in vain."""

import pytest

from workers import Lives, assert_in_order, partition_of, say, server_side

LIMIT, MOST = 20, 15
PER_PARTITION = 3


@pytest.fixture
def side(rabbitmq_queue):
    one = server_side(rabbitmq_queue)
    yield one
    one.close()


@pytest.fixture
def lives(rabbitmq_queue):
    """Makes a worker that lives several times, and ends it."""
    made = []

    def make(most, *arguments):
        made.append(Lives(rabbitmq_queue, most, *arguments))
        return made[-1].start()

    yield make
    for one in made:
        one.end()


def client_of(partition):
    """A connection whose events are in this partition."""
    names = (f"client-{n}" for n in range(1000))
    return next(name for name in names if partition_of({"client": name}) == partition)


def innocent():
    """Events in all partitions that end nothing, and are not done before another has."""
    return [
        say(client_of(partition), 100 + n, wait=0.05)
        for n in range(PER_PARTITION)
        for partition in range(8)
    ]


def begun(process, event):
    """The attempts with which an event was begun."""
    return process.log.with_suffix(f".{event['id']}").read_text().split()


def test_a_worker_killed_more_often_than_the_limit_buries_nothing(side, lives):
    # Each of them ends a worker before it is handled; the events beside them live through all.
    deadly = [say(client_of(0), n, "die", times=1) for n in range(1, LIMIT + 6)]
    events = [*deadly, *innocent()]
    side.write(*events)
    process = lives(60)
    handled = process.wait_for([one["id"] for one in events])
    assert len(process.pids()) == len(deadly) + 1
    assert_in_order(handled)
    died = dict.fromkeys(one["id"] for one in handled if one["did"] == "die")
    assert list(died) == [one["id"] for one in deadly]
    assert not side.waiting(side.topology.dead)


def test_what_kills_each_worker_is_buried_alone(side, lives):
    poison = say(client_of(0), 1, "die", times=1000)
    behind = [say(client_of(0), n) for n in range(2, 20)]
    events = [*behind, *innocent()]
    side.write(poison, *events)
    process = lives(60)
    handled = process.wait_for([one["id"] for one in events])
    assert_in_order(handled)
    assert [one["id"] for one in side.dead(1)] == [poison["id"]]
    assert begun(process, poison) == [str(n) for n in range(1, MOST + 1)]
