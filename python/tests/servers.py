"""Private Redis and RabbitMQ servers on loopback ports of their own."""

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

REDIS_COMMANDS = [
    *("ping", "echo", "hello", "client", "select", "quit", "info", "command"),
    *("xadd", "xlen", "xrange", "xdel", "xtrim", "xgroup|create"),
    *("xreadgroup", "xack", "xpending", "xautoclaim"),
    *("rpush", "llen", "blpop", "lpop", "set", "get", "del", "exists"),
    *("pexpire", "expire", "pttl", "multi", "exec", "discard"),
]
"""What the embedded queue knows (spec/app-link.md): the tests' user may run nothing else."""

NODE_COMMANDS = [
    *("xadd", "xlen", "xrange", "xgroup", "xinfo", "xreadgroup", "xautoclaim", "xack", "xdel"),
    *("set", "get", "del", "pexpire", "eval", "rpush", "blpop", "lpop", "multi", "exec"),
    *(
        "ping",
        "client",
        "select",
        "info",
        "hello",
        "time",
        "zadd",
        "zrem",
        "zscore",
        "zrangebyscore",
    ),
    *("hset", "hsetnx", "hget", "hdel", "hexists"),
]
"""What a server of Jackfield needs (docs/queues.md): its user may run nothing else."""


PORTS = Path(tempfile.gettempdir()) / "jackfield-test-ports"
_taken = []


def free_port():
    """A port below those that outgoing connections get, and that no other test run has chosen.

    A lock on a file of its name says that it is taken, for as long as this process lives: the
    workers of pytest-xdist and the cells of scripts/matrix choose at the same time, and bind later.
    """
    PORTS.mkdir(exist_ok=True)
    while True:
        port = random.randrange(10_000, 30_000)
        claim = os.open(PORTS / str(port), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(claim)
            continue
        _taken.append(claim)
        return port


def until(condition, timeout=60.0, what="the condition"):
    """Polls a condition; the only way in which tests wait."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {timeout:g} s")
        time.sleep(0.02)


class Server:
    """A process that can be stopped, killed, frozen and started again."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="jackfield-test-"))
        self.process = None

    def spawn(self, command, env=None):
        with (self.folder / "out.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=env,
                start_new_session=True,
            )

    def started(self):
        """Whether it answers; an early death is told with its last words."""
        if self.process.poll() is not None:
            log = (self.folder / "out.log").read_text(errors="replace")
            raise AssertionError(f"{type(self).__name__} died: {log[-2000:]}")
        return self.answers()

    def signal(self, number):
        os.killpg(self.process.pid, number)
        if number == signal.SIGSTOP:
            # Sent at once and heard a little later; until then the server still answers.
            until(self._is_frozen, what="the freeze")

    def _is_frozen(self):
        for stat in Path("/proc").glob("[0-9]*/task/*/stat"):
            try:
                state, _, group = stat.read_text().rsplit(")", 1)[1].split()[:3]
            except OSError:
                continue
            if int(group) == self.process.pid and state not in "TZ":
                return False
        return True

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(30)

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Server):
    """redis-server with an append-only file, so that a kill loses nothing."""

    def __init__(self):
        super().__init__()
        self.port = free_port()
        self.admin_url = f"redis://127.0.0.1:{self.port}/0"
        self.url = f"redis://jackfield:secret@127.0.0.1:{self.port}/0"
        self.node_url = f"redis://node:secret@127.0.0.1:{self.port}/0"

    def start(self):
        rights, node_rights = (
            " ".join(f"+{name}" for name in names) for names in (REDIS_COMMANDS, NODE_COMMANDS)
        )
        config = self.folder / "redis.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nsave ''\n"
            "appendonly yes\nappendfsync always\n"
            f"user jackfield on >secret ~* -@all {rights} +auth\n"
            f"user node on >secret ~* -@all {node_rights} +auth\n"
        )
        self.spawn([shutil.which("redis-server"), str(config)])
        until(self.started, what="redis")

    def answers(self):
        import redis

        client = redis.Redis.from_url(self.admin_url, protocol=2)
        try:
            return client.ping()
        except redis.RedisError:
            return False
        finally:
            client.close()


class RabbitMQ(Server):
    """rabbitmq-server with ports, node name, folders and epmd of its own."""

    def __init__(self):
        super().__init__()
        self.port, self.dist, self.epmd = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"jackfield{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "env.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
            "ERL_EPMD_PORT": str(self.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        (self.folder / "enabled_plugins").write_text("[].")

    def start(self):
        # The packaged script insists on the user rabbitmq; the one in sbin of the release does not.
        self.spawn([rabbitmq_script()], self.env)
        until(self.started, timeout=120, what="rabbitmq")

    def answers(self):
        import pika

        parameters = pika.URLParameters(self.url)
        parameters.stack_timeout = 5
        try:
            pika.BlockingConnection(parameters).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True

    def kill(self):
        # A quorum queue is there for good when its name is in a file that is written seconds
        # after the declaration was confirmed. Killed before that, RabbitMQ comes back with a
        # queue that nobody leads, and refuses what is sent to it.
        until(self._knows_its_queues, what="the names of the queues on the disk")
        super().kill()

    def _knows_its_queues(self):
        for names in self.folder.glob("mnesia/*/quorum/*/names.dets"):
            written = names.read_bytes()
            queues = [queue.name for queue in names.parent.iterdir() if queue.is_dir()]
            if any(queue.encode() not in written for queue in queues):
                return False
        return True

    def remove(self):
        epmd = shutil.which("epmd")
        if self.process is not None and self.process.poll() is None:
            # Nothing of it is needed again.
            self.signal(signal.SIGCONT)
            super().kill()
        super().remove()
        if epmd:
            subprocess.run(
                [epmd, "-port", str(self.epmd), "-kill"], capture_output=True, check=False
            )


def rabbitmq_script():
    """The start script, or None where RabbitMQ is not installed."""
    found = sorted(Path("/usr/lib/rabbitmq").glob("lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    return str(found[-1]) if found else shutil.which("rabbitmq-server")
