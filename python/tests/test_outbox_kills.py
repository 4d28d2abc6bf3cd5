"""kill -9 of everything that a publication passes, at random moments: what was committed arrives
at a subscribed client once, and what was rolled back never."""

import json
import time

import pytest

from kills import KILLS, Site, dice
from servers import until
from workers import event, server_side


@pytest.fixture
def redis_site(redis_queue, redis_server):
    """Sites whose queue is a private Redis that writes what it acknowledges to the disk."""
    redis_queue.server, redis_queue.url = redis_server, redis_server.url
    return lambda **options: Site(redis_queue, **options)


def grown(site, by):
    """Waits until so many more numbers are committed."""
    start = len(site.committed())
    until(lambda: len(site.committed()) >= start + by, what=f"{by} more commits\n{site.said()}")


def test_the_web_process_dies_between_commit_and_send(redis_site):
    rng = dice("web")
    with redis_site() as site:
        for n in range(KILLS):
            how = rng.choice(("before", "after", "any time"))
            arguments = ["ledger_write", "--start", n * 1_000_000, "--seed", rng.randrange(1 << 30)]
            if how != "any time":
                arguments += ["--die", how, "--at", rng.randrange(1, 30)]
            web = site.spawn(*arguments)
            if how == "any time":
                grown(site, rng.randrange(1, 40))
                time.sleep(rng.random() * 0.01)  # A moment, not a wait.
                web.kill()
            assert web.wait(60) == -9, site.said()
        left = site.waiting()
        site.manage("jackfield", "relay", "--once", "--age", "0")
        print(f"web: the relay found {left}")  # noqa: T201
        site.judge("web", KILLS)


@pytest.mark.parametrize("outbox", ["on", "strict"])
def test_the_relay_dies(redis_site, outbox):
    rng = dice(f"relay {outbox}")
    with redis_site(outbox=outbox) as site:
        # The ordinary outbox leaves something to the relay where a process dies before it sends.
        web = None
        kills = rows = 0
        if outbox == "strict":
            web = site.spawn("ledger_write", "--start", 1, "--seed", 1, "--pause", "0.001")
            grown(site, 1)
        while kills < KILLS:
            if outbox == "on":
                for _ in range(rng.randrange(1, 3)):
                    rows += 1
                    died = site.spawn(
                        *("ledger_write", "--start", rows * 1_000_000, "--die", "before", "--at", 1)
                    )
                    assert died.wait(60) == -9, site.said()
            relay = site.spawn(
                *("jackfield", "relay", "--age", "0", "--interval", "0.01"),
                *("--batch", rng.randrange(1, 20)),
            )
            if rng.random() < 0.7:
                start = len(site.client.numbers)
                until(
                    lambda start=start: (
                        len(site.client.numbers) > start or (web is None and not site.waiting())
                    ),
                    what=f"a relay at work\n{site.said()}",
                )
            time.sleep(rng.random() * 0.05)  # A moment, not a wait.
            relay.kill()
            relay.wait()
            kills += 1
        if web:
            web.kill()
            web.wait()
        site.spawn("jackfield", "relay", "--age", "0", "--interval", "0.01")
        committed, got = site.judge(f"relay {outbox}", kills)
        if outbox == "strict":
            assert got == committed


def test_the_queue_dies(killable_queue):
    rng = dice(f"queue {killable_queue.kind}")
    with Site(killable_queue) as site:
        # The restart of RabbitMQ takes seconds: a steady trickle is as good as a flood.
        pause = "0.05" if killable_queue.kind == "rabbitmq" else "0.002"
        site.spawn("jackfield", "relay", "--age", "0.5", "--interval", "0.1")
        web = site.spawn("ledger_write", "--start", 1, "--seed", 1, "--pause", pause)
        for _ in range(KILLS):
            grown(site, rng.randrange(5, 60))
            time.sleep(rng.random() * 0.02)  # A moment, not a wait.
            killable_queue.server.kill()
            grown(site, rng.randrange(1, 20))
            killable_queue.server.start()
        grown(site, 5)
        web.kill()
        web.wait()
        site.judge(f"queue {killable_queue.kind}", KILLS)


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_the_worker_dies(request, kind):
    rng = dice(f"worker {kind}")
    queue = request.getfixturevalue(f"{kind}_queue")
    queue.server = request.getfixturevalue(f"{kind}_server")
    queue.url = queue.server.url
    with Site(queue) as site:
        side = server_side(queue)
        sent = 0
        for _ in range(KILLS):
            worker = site.spawn("jackfield", "worker", "--threads", "4")
            some = rng.randrange(2, 15)
            events = [
                event(
                    f"client-{n % 7}",
                    n,
                    channel="",
                    data=json.dumps(
                        {"event": "book", "data": {"number": n, "pause": rng.random() / 50}}
                    ),
                )
                for n in range(sent, sent + some)
            ]
            before, sent = len(site.committed()), sent + some
            side.write(*events)
            if rng.random() < 0.3:
                # The same ones again, as a server does that was not told they had arrived.
                side.write(*events)
            wanted = before + rng.randrange(1, some + 1)
            until(
                lambda wanted=wanted: len(site.committed()) >= wanted, what=f"work\n{site.said()}"
            )
            time.sleep(rng.random() * 0.02)  # A moment, not a wait.
            worker.kill()
            worker.wait()
        site.spawn("jackfield", "worker", "--threads", "4", "--relay")
        until(lambda: len(set(site.committed())) == sent, what=f"{sent} bookings\n{site.said()}")
        committed, _ = site.judge(f"worker {kind}", KILLS)
        assert len(committed) == len(set(committed)) == sent
        side.close()
