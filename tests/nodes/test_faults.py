"""What breaks between nodes and broker, with clients that count: every publication that was acknowledged comes to each of
them once and in order, or it is told that something may be missing."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from cluster import Api, Listener, Place, Publisher, check, node, together
from engines import Cluster, Nats, Sentinels
from serving import Server, wait_for

from servers import Redis

CLIENTS = 20
CHANNEL = "kept:numbers"
ROWS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints what was counted, in the form of docs/reliability.md."""
    yield
    print("\n| fault | clients | publications | seen | recoveries | told that some may be missing | missing | longest acknowledgement |")
    print("|---|---|---|---|---|---|---|---|")
    for row in ROWS:
        print(row)


def through(name: str, places: list[Place], fault: Callable[[], None], *, more: int = 300) -> dict[str, int]:
    """Lets clients listen and somebody publish, breaks something, and counts."""
    listeners = [Listener(places, turn, CHANNEL) for turn in range(CLIENTS)]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        assert listener.in_channel.wait(30)
    publisher = Publisher(places, CHANNEL)
    publisher.start()
    wait_for(lambda: publisher.acknowledged >= 300, "publications before the fault")
    fault()
    reached = publisher.acknowledged
    wait_for(lambda: publisher.acknowledged >= reached + more, f"publications after the fault; {reached} before", 90)
    last = publisher.stop()
    counts = check(listeners, last)
    for listener in listeners:
        listener.stop()
    ROWS.append(
        f"| {name} | {counts['clients']} | {last} | {counts['seen']} | {counts['recovered']} | {counts['told']} | "
        f"{counts['missing']} | {publisher.longest:.1f} s |"
    )
    return counts


def stopped(servers: list[Server]) -> None:
    for server in servers:
        if server.process:
            server.__exit__()


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def three(redis: Redis) -> Iterator[list[Server]]:
    servers = [node(redis.admin_url, name=f"n{number}") for number in range(3)]
    try:
        for server in servers:
            server.start()
        together(servers)
        yield servers
    finally:
        stopped(servers)


def test_a_node_is_killed(three: list[Server]) -> None:
    def kill() -> None:
        assert three[0].process
        three[0].process.kill()
        three[0].process.wait()

    counts = through("node, kill -9", [Place(server) for server in three], kill)
    assert counts["told"] == 0 and counts["missing"] == 0 and counts["recovered"] >= CLIENTS // 3


def test_a_node_stands_still_for_ten_seconds(three: list[Server]) -> None:
    def freeze() -> None:
        three[0].signal(signal.SIGSTOP)
        time.sleep(10)  # The fault itself.
        three[0].signal(signal.SIGCONT)

    counts = through("node, SIGSTOP for 10 s", [Place(server) for server in three], freeze)
    assert counts["told"] == 0 and counts["missing"] == 0
    together(three)


def test_redis_is_killed_and_comes_back(redis: Redis, three: list[Server]) -> None:
    def restart() -> None:
        redis.kill()
        redis.start()

    counts = through("Redis, kill -9 and restart (AOF, appendfsync always)", [Place(server) for server in three], restart)
    assert counts["told"] == 0 and counts["missing"] == 0


def test_redis_comes_back_empty(redis: Redis, three: list[Server]) -> None:
    def lose() -> None:
        redis.kill()
        for path in redis.folder.glob("appendonlydir/*"):
            path.unlink()
        redis.start()

    counts = through("Redis, killed and its disk lost", [Place(server) for server in three], lose)
    # Whatever was there is gone, and everybody was told so.
    assert counts["told"] >= CLIENTS


def test_a_node_without_its_broker_says_why() -> None:
    broker = Redis()
    with node(broker.admin_url) as server:
        wait_for(lambda: "not ready without its broker" in server.logged(), "a word in the log")
        assert str(broker.port) in server.logged() and not Api(server).ready()
        try:
            broker.start()
            wait_for(lambda: Api(server).ready(), "a broker that is found later")
        finally:
            broker.remove()


def test_a_nats_with_too_little_room_is_named() -> None:
    broker = Nats(room="100MB")
    try:
        broker.start()
        with node(broker.url) as server:
            wait_for(lambda: "stream_max_bytes" in server.logged(), f"the remedy in the log\n{server.logged()}")
            assert "max_file_store" in server.logged() and not Api(server).ready()
    finally:
        broker.remove()


def test_nats_is_killed_and_comes_back() -> None:
    broker = Nats()
    servers = [node(broker.url, name=f"n{number}") for number in range(3)]
    try:
        broker.start()
        for server in servers:
            server.start()
        together(servers)

        def restart() -> None:
            broker.kill()
            broker.start()

        counts = through("NATS, kill -9 and restart", [Place(server) for server in servers], restart)
        assert counts["told"] == 0 and counts["missing"] == 0
    finally:
        stopped(servers)
        broker.remove()


def test_sentinels_choose_another_master() -> None:
    store = Sentinels()
    servers: list[Server] = []
    try:
        store.start()
        servers += [node(store.url, name=f"n{number}") for number in range(3)]
        for server in servers:
            server.start()
        together(servers)

        def fail_over() -> None:
            master = store.master()
            assert master
            master.kill()
            wait_for(lambda: store.master() not in (None, master), "another master")

        counts = through("Sentinel, the master is killed", [Place(server) for server in servers], fail_over)
        # What a replica may lack nobody can know, so everybody was told.
        assert counts["told"] >= CLIENTS
    finally:
        stopped(servers)
        store.remove()


def test_a_master_of_a_cluster_is_lost() -> None:
    store = Cluster()
    servers: list[Server] = []
    try:
        store.start()
        servers += [node(store.url, name=f"n{number}") for number in range(3)]
        for server in servers:
            server.start()
        together(servers)
        import zlib

        tag = f"{{jackfield:b:{zlib.crc32(CHANNEL.encode()) % 256}}}"

        def lose() -> None:
            master = store.master_of(tag)
            master.kill()
            wait_for(lambda: store.master_of(tag) is not master, "another master")

        counts = through("Redis Cluster, the channel's master is killed", [Place(server) for server in servers], lose)
        assert counts["told"] >= CLIENTS
    finally:
        stopped(servers)
        store.remove()


class Apart:
    """A network namespace with two lines: one for clients, one to the broker that can be cut."""

    numbers = itertools.count(os.getpid() % 5000)

    def __init__(self) -> None:
        number = next(self.numbers)
        self.name = f"jf{number}"
        self.net = f"10.{200 + number % 50}.{number // 50 % 250}"
        run = self.run
        run("ip", "netns", "add", self.name)
        for line, last in (("c", 0), ("b", 4)):
            ours, theirs = f"{self.name}{line}0", f"{self.name}{line}1"
            run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
            run("ip", "link", "set", theirs, "netns", self.name)
            run("ip", "addr", "add", f"{self.net}.{last + 1}/30", "dev", ours)
            run("ip", "link", "set", ours, "up")
            run("ip", "-n", self.name, "addr", "add", f"{self.net}.{last + 2}/30", "dev", theirs)
            run("ip", "-n", self.name, "link", "set", theirs, "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.clients, self.broker = f"{self.net}.2", f"{self.net}.5"

    @staticmethod
    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    def cut(self) -> None:
        # Nobody is told: what is sent goes nowhere.
        self.run("ip", "link", "set", f"{self.name}b0", "down")

    def heal(self) -> None:
        self.run("ip", "link", "set", f"{self.name}b0", "up")

    def remove(self) -> None:
        subprocess.run(("ip", "netns", "del", self.name), capture_output=True)
        for line in "cb":
            subprocess.run(("ip", "link", "del", f"{self.name}{line}0"), capture_output=True)


def can_part() -> bool:
    """Whether this machine lets a test make networks."""
    try:
        Apart().remove()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.mark.skipif(not can_part(), reason="network namespaces need root and iproute2")
def test_a_node_is_cut_off_from_the_broker() -> None:
    apart = Apart()
    redis = Redis()
    servers: list[Server] = []
    try:
        redis.start()
        cut_off(apart, redis, servers)
    finally:
        stopped(servers)
        redis.remove()
        apart.remove()


def cut_off(apart: Apart, redis: Redis, servers: list[Server]) -> None:
    # The broker listens beyond loopback for the one network that the test has made.
    client = redis.admin_url
    import redis as library

    with library.Redis.from_url(client, protocol=2) as admin:
        admin.config_set("bind", f"127.0.0.1 {apart.broker}")
        admin.config_set("protected-mode", "no")
    far = client.replace("127.0.0.1", apart.broker)
    alone = node(far, name="alone", sets=(f"http_server.address={apart.clients}", f"http_server.internal_address={apart.clients}"))
    alone.wrapper = ("ip", "netns", "exec", apart.name)
    alone.host = apart.clients
    servers += [node(client, name="n1"), node(client, name="n2"), alone]
    places = [Place(servers[0]), Place(servers[1]), Place(alone, apart.clients)]
    for server in servers:
        server.start()
    from cluster import Api

    apis = [Api(place.server, place.host) for place in places]
    for api in apis:
        wait_for(api.ready, "readiness")
        wait_for(lambda api=api: len(api.nodes()) == 3, "all nodes")

    def cut() -> None:
        apart.cut()
        wait_for(lambda: not apis[2].ready(), "a node that says that it is cut off", 15)
        time.sleep(15)  # The fault itself.
        apart.heal()
        wait_for(apis[2].ready, "a node that is back")

    counts = through("node cut off from Redis for 15 s", places, cut)
    assert counts["missing"] == 0 and counts["told"] == 0, counts
