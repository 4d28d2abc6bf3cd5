"""Order and completeness: every subscriber sees every publication once, and all see the same order."""

from __future__ import annotations

import threading

from serving import Server
from speakers import JsonSocket, joined, unique

SETS = ("client.message_rate_limit=0",)


def publish(client: JsonSocket, channel: str, name: str, count: int) -> None:
    """Publishes numbered data, 20 commands in flight, as a busy client would."""
    waiting: list[int] = []
    for n in range(count):
        waiting.append(client.ask(publish={"channel": channel, "data": [name, n]}))
        if len(waiting) == 20:
            assert "publish" in client.reply(waiting.pop(0))
    for number in waiting:
        assert "publish" in client.reply(number)


def in_threads(*jobs: tuple[object, ...]) -> list[threading.Thread]:
    threads = [threading.Thread(target=job[0], args=job[1:], daemon=True) for job in jobs]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    return threads


def heard(client: JsonSocket, count: int) -> list[dict[str, object]]:
    return [client.push()["pub"] for _ in range(count)]


def test_all_subscribers_see_one_order(server: Server) -> None:
    channel = unique("open:order-")
    subscribers = [joined(server, channel, f"s{n}") for n in range(10)]
    publishers = [joined(server, user=f"p{n}") for n in range(5)]
    threads = in_threads(*((publish, client, channel, f"p{n}", 200) for n, client in enumerate(publishers)))
    seen = [heard(client, 1000) for client in subscribers]
    for thread in threads:
        thread.join()
    assert [pub["offset"] for pub in seen[0]] == list(range(1, 1001))
    order = [(pub["offset"], pub["data"]) for pub in seen[0]]
    for others in seen[1:]:
        assert [(pub["offset"], pub["data"]) for pub in others] == order
    for n in range(5):
        assert [data[1] for _, data in order if data[0] == f"p{n}"] == list(range(200))
    history = publishers[0].result(history={"channel": channel, "limit": 300})
    assert history["offset"] == 1000
    assert [(pub["offset"], pub["data"]) for pub in history["publications"]] == order[:300]
    for client in subscribers + publishers:
        client.close()


def test_who_subscribes_in_a_storm_misses_nothing_and_hears_nothing_twice(server: Server) -> None:
    channel = unique("open:storm-")
    publishers = [joined(server, user=f"p{n}") for n in range(3)]
    first = joined(server, channel, "first")
    threads = in_threads(*((publish, client, channel, f"p{n}", 500) for n, client in enumerate(publishers)))
    late: list[tuple[JsonSocket, int]] = []
    for n in range(20):
        heard(first, 30)
        client = joined(server, user=f"late-{n}")
        late.append((client, client.result(subscribe={"channel": channel}).get("offset", 0)))
    for client, offset in late:
        offsets = [pub["offset"] for pub in heard(client, 1500 - offset)]
        assert offsets == list(range(offset + 1, 1501))
    for thread in threads:
        thread.join()
    for client in [first, *publishers, *(client for client, _ in late)]:
        client.close()


def test_who_comes_and_goes_in_a_storm_hears_only_while_there(server: Server) -> None:
    channel = unique("open:churn-")
    publisher, client = joined(server, user="p"), joined(server)
    (thread,) = in_threads((publish, publisher, channel, "p", 1000))
    last = 0
    while last < 1000:
        offset = client.result(subscribe={"channel": channel}).get("offset", 0)
        assert offset >= last
        if offset == 1000:
            break
        last = client.push()["pub"]["offset"]
        assert last == offset + 1
        assert client.result(unsubscribe={"channel": channel}) == {}
        last = max([last, *(push["pub"]["offset"] for push in client.pushes)])
        client.pushes.clear()
    thread.join()
    publisher.close()
    client.close()
