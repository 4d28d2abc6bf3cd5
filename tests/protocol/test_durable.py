"""kill -9 under load: what was acknowledged is there, what was seen is not unseen, and a torn end is no riddle."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crowds import OPEN, Api, Crowd, Guest, figures, processor
from serving import Server

__all__ = ["figures"]

# More of it: JACKFIELD_KILLS=100.
KILLS = int(os.environ.get("JACKFIELD_KILLS", "10"))
RATE, WRITERS, BATCH = 5000, 16, 25
CHANNELS = [f"kept:{n}" for n in range(4)]
SEED = random.randrange(1 << 32)

CONFIG = (
    OPEN
    + """
recovery_max_publication_limit = 1000000
history_max_publication_limit = 1000000
queue_max_size = 67108864
[[channel.namespaces]]
name = "kept"
durable = true
history_size = 1000000
history_ttl = "1h"
force_recovery = true
[[channel.namespaces]]
name = "plain"
history_size = 1000000
history_ttl = "1h"
force_recovery = true
"""
)


def durable(folder: Path, fsync: str, **options: Any) -> Server:
    log = f'[history]\npath = "{folder}"\nfsync = "{fsync}"\n'
    return Server(log + CONFIG, workers=2, **options)


class Writer:
    """Publishes batches one after the other, and remembers what the server has acknowledged."""

    def __init__(self, crowd: Crowd, server: Server, channel: str, numbers: Iterator[int], size: int = BATCH):
        self.api, self.channel, self.numbers, self.size = Api(crowd, server), channel, numbers, size
        self.acknowledged: list[tuple[int, str, str]] = []
        self.due = 0.0
        self.is_waiting = False

    def publish(self) -> None:
        texts = [f"{next(self.numbers)}-".ljust(120, "x") for _ in range(self.size)]

        def answered(answer: dict[str, Any]) -> None:
            self.is_waiting = False
            for text, reply in zip(texts, answer["replies"], strict=True):
                assert "publish" in reply, reply
                self.acknowledged.append((reply["publish"]["offset"], reply["publish"]["epoch"], text))

        self.is_waiting = True
        commands = [{"publish": {"channel": self.channel, "data": text}} for text in texts]
        # Else each would wait for the disk before the next begins.
        self.api.ask("batch", {"commands": commands, "parallel": True}, answered)


def writing(crowd: Crowd, writers: list[Writer], rate: float | None) -> Callable[[float], None]:
    """A chore: all writers together publish at the rate, or as fast as they are answered."""

    def chore(now: float) -> None:
        for writer in writers:
            if not writer.is_waiting and writer.api.is_open and writer.due <= now:
                if rate is not None:
                    writer.due = max(writer.due, now - 0.05) + writer.size * len(writers) / rate
                writer.publish()

    crowd.chores.append(chore)
    return chore


class Subscriber:
    """Follows a channel over the deaths of its server, and checks that nothing is missing, twice or unsaid."""

    def __init__(self, channel: str):
        self.channel, self.offset, self.epoch = channel, 0, ""
        self.seen: list[str] = []
        self.is_in, self.recovered, self.was_in = False, False, False

    def join(self, crowd: Crowd, server: Server) -> Guest:
        wish: dict[str, Any] = {"channel": self.channel}
        if self.was_in:
            wish |= {"recover": True, "offset": self.offset, "epoch": self.epoch}
        self.is_in = False
        return Guest(crowd, server, self.hear, [{"subscribe": wish}])

    def hear(self, _: Guest, message: dict[str, Any]) -> None:
        assert "error" not in message, message
        if "push" in message:
            self.take(message["push"]["pub"])
        elif "subscribe" in message:
            reply = message["subscribe"]
            self.recovered = reply.get("recovered", False)
            assert reply.get("was_recovering", False) == self.was_in, reply
            if self.recovered:
                assert reply["epoch"] == self.epoch
            else:
                self.offset, self.seen = reply.get("offset", 0), []
            self.epoch, self.is_in, self.was_in = reply["epoch"], True, True
            for publication in reply.get("publications", ()):
                self.take(publication)

    def take(self, publication: dict[str, Any]) -> None:
        assert publication["offset"] == self.offset + 1, f"{publication['offset']} after {self.offset}"
        self.offset += 1
        self.seen.append(publication["data"])


def history(server: Server, channel: str) -> tuple[str, list[str]]:
    """Epoch and all data, by offset from 1 on."""
    answers: list[dict[str, Any]] = []
    with Crowd() as crowd:
        Api(crowd, server).ask("history", {"channel": channel, "limit": -1}, answers.append)
        crowd.until(lambda: answers, f"the history of {channel}")
    result = answers[0]["result"]
    offsets = [publication["offset"] for publication in result["publications"]]
    assert offsets == list(range(1, result["offset"] + 1)), f"{channel}: offsets have gaps"
    return result["epoch"], [publication["data"] for publication in result["publications"]]


def live(server: Server, subscribers: list[Subscriber], writers: list[Writer], seconds: float) -> None:
    """One life of a server: everybody comes, there is load, and it is killed while there is."""
    with Crowd() as crowd:
        guests = [subscriber.join(crowd, server) for subscriber in subscribers]
        crowd.until(lambda: all(subscriber.is_in for subscriber in subscribers), "all subscribers are in")
        for writer in writers:
            writer.api, writer.is_waiting, writer.due = Api(crowd, server), False, time.monotonic()
        before = sum(len(writer.acknowledged) for writer in writers)
        writing(crowd, writers, RATE)
        crowd.until(lambda: sum(len(writer.acknowledged) for writer in writers) > before, "a publication")
        crowd.during(seconds)
        assert server.process
        server.process.kill()
        # What it said before it died is still on the way.
        crowd.until(lambda: not any(wire.is_open for wire in [*guests, *(w.api for w in writers)]), "the end of all")
        server.process.wait()


def numbered(crowd: Crowd, server: Server, numbers: Iterator[int]) -> list[Writer]:
    """Half of them publish batches, the others one at a time."""
    return [
        Writer(crowd, server, CHANNELS[n % len(CHANNELS)], numbers, BATCH if n < WRITERS // 2 else 1)
        for n in range(WRITERS)
    ]


def check(server: Server, subscribers: list[Subscriber], writers: list[Writer], epochs: dict[str, str]) -> int:
    """Everything acknowledged and everything seen is there, where it was; how many publications there are."""
    total = 0
    for channel in CHANNELS:
        epoch, kept = history(server, channel)
        assert epochs.setdefault(channel, epoch) == epoch, f"{channel} has a new epoch"
        for writer in writers:
            for offset, told, text in writer.acknowledged if writer.channel == channel else ():
                assert told == epoch and offset <= len(kept) and kept[offset - 1] == text, (
                    f"{channel}: {offset} is lost"
                )
        for subscriber in subscribers:
            if subscriber.channel == channel:
                assert subscriber.seen == kept[: len(subscriber.seen)], f"{channel}: somebody saw what is not there"
        total += len(kept)
    return total


@pytest.mark.parametrize(("fsync", "kills"), [("always", KILLS), ("interval", max(2, KILLS // 4)), ("never", 2)])
def test_kill_9_takes_nothing_that_was_acknowledged_or_seen(
    tmp_path: Path, fsync: str, kills: int, figures: Callable[[str], None]
) -> None:
    """The system lives on when a process is killed: what is promised does not depend on fsync then."""
    dice, numbers, epochs = random.Random(SEED), itertools.count(1), {}
    subscribers = [Subscriber(channel) for channel in CHANNELS * 2]
    server = durable(tmp_path / "log", fsync)
    published, load = 0, 0.0
    try:
        server.start()
        with Crowd() as crowd:
            writers = numbered(crowd, server, numbers)
        for life in range(kills):
            seconds = dice.uniform(0.05, 0.6)
            before = sum(len(writer.acknowledged) for writer in writers)
            live(server, subscribers, writers, seconds)
            published += sum(len(writer.acknowledged) for writer in writers) - before
            load += seconds
            server.start()
            check(server, subscribers, writers, epochs)
            assert all(subscriber.recovered for subscriber in subscribers) or life == 0, "recovered: false"
        with Crowd() as crowd:
            for subscriber in subscribers:
                subscriber.join(crowd, server)
            crowd.until(lambda: all(subscriber.is_in for subscriber in subscribers), "all subscribers are in")
        assert all(subscriber.recovered for subscriber in subscribers)
        total = check(server, subscribers, writers, epochs)
        tops = {subscriber.channel: subscriber.offset for subscriber in subscribers}
        assert sum(tops.values()) == total, "who recovered has everything"
    finally:
        server.__exit__()
    figures(
        f"fsync={fsync}: {kills} kills, {published} acknowledged at {published / load:.0f}/s, {total} in the history: "
        f"none lost, none changed, {len(subscribers) * kills} recoveries without a gap (seed {SEED})"
    )


def test_without_a_log_a_restart_is_told(server_without_log: Server) -> None:
    server = server_without_log
    subscriber = Subscriber("plain:1")
    with Crowd() as crowd:
        writer = Writer(crowd, server, "plain:1", itertools.count(1))
        subscriber.join(crowd, server)
        crowd.until(lambda: subscriber.is_in, "the subscriber is in")
        writer.publish()
        crowd.until(lambda: subscriber.offset == BATCH, "all of the batch")
    epoch = subscriber.epoch
    assert server.process
    server.process.kill()
    server.process.wait()
    server.start()
    with Crowd() as crowd:
        subscriber.join(crowd, server)
        crowd.until(lambda: subscriber.is_in, "the subscriber is in again")
    assert not subscriber.recovered and subscriber.epoch != epoch and subscriber.offset == 0


@pytest.fixture
def server_without_log() -> Iterator[Server]:
    # Nothing is durable there: durable without a log is refused at the start.
    with Server(CONFIG.replace("durable = true\n", ""), workers=2) as server:
        yield server


def refusal(server: Server) -> str | None:
    """Starts a server; what it says if it does not."""
    try:
        server.start()
    except AssertionError:
        assert server.process and server.process.poll() not in (None, 0)
        return server.logged()
    return None


@pytest.mark.parametrize("fsync", ["always", "interval"])
def test_a_torn_end_is_cut_off_and_damage_is_told(tmp_path: Path, fsync: str, figures: Callable[[str], None]) -> None:
    """Bytes of the last file are taken away, or changed: what comes back is a beginning of what was, or a clear word."""
    dice, original = random.Random(SEED), tmp_path / "log"
    server = durable(original, fsync)
    server.start()
    with Crowd() as crowd:
        writers = numbered(crowd, server, itertools.count(1))
    live(server, [], writers, 0.3)
    server.__exit__()
    with durable(copied(original, tmp_path / "whole"), fsync) as whole:
        known = {channel: history(whole, channel) for channel in CHANNELS}
    files = sorted(path.name for path in original.iterdir() if path.stat().st_size > 4096)
    assert files, "there is something to tear"
    outcomes = {"cut": 0, "whole": 0, "refused": 0}
    for trial in range(16):
        folder = copied(original, tmp_path / f"torn-{trial}")
        path, is_cut = folder / files[-1], trial % 2 == 0
        data = bytearray(path.read_bytes())
        at = dice.randrange(len(data))
        if is_cut:
            del data[at:]
        else:
            data[at] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
        torn = durable(folder, fsync)
        said = refusal(torn)
        try:
            if said is not None:
                assert files[-1] in said and "moving the folder away" in said, said
                outcomes["refused"] += 1
                continue
            missing = 0
            for channel, (epoch, kept) in known.items():
                found_epoch, found = history(torn, channel)
                assert found == kept[: len(found)], f"{channel} has something that never was"
                assert found_epoch == epoch or not found
                missing += len(kept) - len(found)
            outcomes["cut" if missing else "whole"] += 1
        finally:
            torn.__exit__()
    figures(f"fsync={fsync}: 16 torn or changed logs: {outcomes} (seed {SEED})")
    assert outcomes["cut"] > 0
    # What follows a changed byte says that it was safe already; without that it may be what a power cut left.
    assert outcomes["refused"] > 0 or fsync != "always"


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def test_a_folder_has_one_server(tmp_path: Path) -> None:
    with durable(tmp_path / "log", "never"):
        second = durable(tmp_path / "log", "never")
        said = refusal(second)
        second.__exit__()
    assert said and "another server has it open" in said and str(tmp_path / "log") in said, said


def test_the_price_of_the_log(tmp_path: Path, figures: Callable[[str], None]) -> None:
    """Three servers beside each other, one at a time under load, turn by turn."""
    plain = CONFIG.replace("durable = true\n", "")
    servers = {
        "no log": Server(plain, workers=2),
        "never": durable(tmp_path / "never", "never"),
        "interval": durable(tmp_path / "interval", "interval"),
        "always": durable(tmp_path / "always", "always"),
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    try:
        for server in servers.values():
            server.start()
        for _ in range(3):
            for name, server in servers.items():
                with Crowd() as crowd:
                    writers = [Writer(crowd, server, CHANNELS[n % 4], itertools.count(1)) for n in range(WRITERS)]
                    writing(crowd, writers, None)
                    crowd.during(0.1)
                    before, cpu, began = sum(len(w.acknowledged) for w in writers), processor(server), time.monotonic()
                    crowd.during(0.8)
                    done = lambda before=before, writers=writers: sum(len(w.acknowledged) for w in writers) - before  # noqa: E731
                    crowd.until(done, "publications that are acknowledged")
                    count = done()
                    spent[name].append((count / (time.monotonic() - began), (processor(server) - cpu) / count * 1e6))
    finally:
        for server in servers.values():
            server.__exit__()
    for name, turns in spent.items():
        rates = ", ".join(f"{rate:,.0f}" for rate, _ in turns)
        figures(f"{name:9} {rates} acknowledged/s; {', '.join(f'{cpu:.1f}' for _, cpu in turns)} us of CPU each")
