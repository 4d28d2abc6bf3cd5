"""Brokers as people run them: one server, a master with replicas and sentinels, a cluster."""

from __future__ import annotations

import json
import shutil
import socket
from typing import Any

import redis
from servers import Server, free_port, until


class Member(Server):
    """One Redis process of several."""

    def __init__(self, *options: str, sentinel: bool = False):
        super().__init__()
        self.port = free_port()
        self.options, self.sentinel = options, sentinel
        self.log_name = self.folder / "out.log"

    def start(self) -> None:
        config = self.folder / "redis.conf"
        if not config.exists():
            lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", *self.options]
            if not self.sentinel:
                lines += ["save ''", "appendonly yes", "appendfsync always"]
            config.write_text("\n".join(lines) + "\n")
        mode = ["--sentinel"] if self.sentinel else []
        self.spawn([shutil.which("redis-server"), str(config), *mode])
        until(self.started, what="redis")

    def ask(self, *request: Any) -> Any:
        """The reply as it came: the library's own reading of some replies differs between its releases."""
        connection = redis.Connection(port=self.port, protocol=2, socket_timeout=5, decode_responses=True)
        try:
            connection.connect()
            connection.send_command(*request)
            return connection.read_response()
        finally:
            connection.disconnect()

    def answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False


class Nats(Server):
    """nats-server with JetStream, whose files stay through a kill."""

    def __init__(self, room: str = "4GB") -> None:
        super().__init__()
        self.room = room
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        # Debian keeps it where only root looks.
        program = shutil.which("nats-server") or "/usr/sbin/nats-server"
        store = json.dumps(str(self.folder / "store"))
        config = self.folder / "nats.conf"
        config.write_text(f"listen: 127.0.0.1:{self.port}\njetstream {{ store_dir: {store}, max_file_store: {self.room} }}\n")
        self.spawn([program, "-c", str(config)])
        until(self.started, what="nats")

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                return connection.recv(5) == b"INFO "
        except OSError:
            return False


class Sentinels:
    """One master, two replicas, three sentinels."""

    def __init__(self) -> None:
        self.stores = [Member()]
        master = self.stores[0].port
        # An empty replica links within a moment, not after five seconds.
        self.stores += [Member(f"replicaof 127.0.0.1 {master}", "repl-diskless-sync-delay 0") for _ in range(2)]
        self.stores[0].options += ("repl-diskless-sync-delay 0",)
        watch = [
            f"sentinel monitor main 127.0.0.1 {master} 2",
            "sentinel down-after-milliseconds main 1000",
            "sentinel failover-timeout main 3000",
        ]
        self.sentinels = [Member(*watch, sentinel=True) for _ in range(3)]
        addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{addresses}/main"

    def start(self) -> None:
        for member in self.stores:
            member.start()
        for replica in self.stores[1:]:
            until(lambda replica=replica: "master_link_status:up" in replica.ask("INFO", "replication"), what="replicas")
        for member in self.sentinels:
            member.start()
        for sentinel in self.sentinels:
            until(lambda sentinel=sentinel: self.sees_all(sentinel), what="sentinels that know each other")

    def sees_all(self, sentinel: Member) -> bool:
        info = sentinel.ask("SENTINEL", "MASTER", "main")
        known = dict(zip(info[::2], info[1::2], strict=False))
        counts = [int(known.get(name) or 0) for name in ("num-slaves", "num-other-sentinels")]
        return counts == [2, 2] and "down" not in known["flags"]

    def master(self) -> Member | None:
        for sentinel in self.sentinels:
            try:
                _, port = sentinel.ask("SENTINEL", "get-master-addr-by-name", "main")
            except (redis.RedisError, TypeError):
                continue
            return next(store for store in self.stores if store.port == int(port))
        return None

    def remove(self) -> None:
        for member in [*self.sentinels, *self.stores]:
            member.remove()


class Cluster:
    """Three masters with a replica each."""

    def __init__(self) -> None:
        options = ("cluster-enabled yes", "cluster-node-timeout 1500", "repl-diskless-sync-delay 0")
        # A bus port of its own: the usual one, 10000 above the other, may be somebody's.
        self.buses = [free_port() for _ in range(6)]
        self.members = [Member(*options, f"cluster-port {bus}") for bus in self.buses]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{member.port}" for member in self.members[:3])

    def start(self) -> None:
        for member in self.members:
            member.start()
        first, ids = self.members[0], [member.ask("CLUSTER", "MYID") for member in self.members]
        bounds = [0, 5461, 10923, 16384]
        for nth, member in enumerate(self.members[:3]):
            member.ask("CLUSTER", "ADDSLOTSRANGE", bounds[nth], bounds[nth + 1] - 1)
            member.ask("CLUSTER", "SET-CONFIG-EPOCH", nth + 1)
        for member in self.members[1:]:
            member.ask("CLUSTER", "MEET", "127.0.0.1", first.port, self.buses[0])
        for member in self.members:
            until(lambda member=member: member.ask("CLUSTER", "NODES").count(" connected") == 6, what="six members")
        for nth, member in enumerate(self.members[3:]):
            until(lambda member=member, nth=nth: self.follow(member, ids[nth]), what="a replica")
        for member in self.members:
            until(lambda member=member: "cluster_state:ok" in member.ask("CLUSTER", "INFO"), what="the cluster")
        for member in self.members[3:]:
            until(lambda member=member: "master_link_status:up" in member.ask("INFO", "replication"), what="replicas")

    @staticmethod
    def follow(member: Member, master: str) -> bool:
        try:
            member.ask("CLUSTER", "REPLICATE", master)
        except redis.RedisError:
            return False
        return True

    def master_of(self, key: str) -> Member:
        """The member that serves a key now."""
        asked = next(member for member in self.members if member.answers())
        slot = asked.ask("CLUSTER", "KEYSLOT", key)
        for first, last, master, *_ in asked.ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(member for member in self.members if member.port == master[1])
        raise AssertionError("nobody serves the slot")

    def remove(self) -> None:
        for member in self.members:
            member.remove()
