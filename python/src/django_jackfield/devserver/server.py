"""The server beside `runserver`: started, waited for, ended with it."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from django_jackfield.conf import ANY_HOST

START_SECONDS = 20.0
STOP_SECONDS = 6.0
LEASH = Path(__file__).with_name("leash.py")


class CannotStart(Exception):
    """Why there is no server, and what helps, in words."""


class LocalServer:
    """`jackfield serve` with a configuration of its own, on a leash."""

    def __init__(self, binary: str, config: Mapping[str, Any]) -> None:
        self.binary = binary
        self.config = config
        self.path = Path(tempfile.mkdtemp(prefix="jackfield-"), "jackfield.json")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that holds the leash."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts the server and waits until it takes connections. Raises CannotStart."""
        self._refuse_taken_ports()
        write_config(self.path, self.config)
        self._process = subprocess.Popen(  # noqa: S603
            [
                *(sys.executable, "-I", str(LEASH), str(self.path.parent)),
                *(self.binary, "serve", "-c", str(self.path)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=clean_environment(),
            # Ctrl-C goes to runserver, whose end this server hears of by the pipe.
            start_new_session=True,
        )
        atexit.register(self.stop)
        end = time.monotonic() + START_SECONDS
        while not self._healthy():
            if self._process.poll() is not None:
                raise CannotStart("the server ended at once; what it said stands above")
            if time.monotonic() > end:
                self.stop()
                raise CannotStart(f"the server did not answer within {START_SECONDS:g} s")
            time.sleep(0.02)

    def stop(self) -> None:
        """Lets go of the pipe and waits for the end."""
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        atexit.unregister(self.stop)

    def _healthy(self) -> bool:
        place = self.config["http_server"]
        host = ANY_HOST.get(place["address"], place["address"])
        return answers(host.strip("[]"), place["port"])

    def _refuse_taken_ports(self) -> None:
        place = self.config["http_server"]
        ports = [
            (place["address"], place["port"], "--jackfield-port takes another one"),
            (place["internal_address"], place["internal_port"], _OTHER_PROJECT),
        ]
        if "embedded" in self.config:
            ports.append(("127.0.0.1", self.config["embedded"]["port"], _OTHER_PROJECT))
        for address, port, remedy in ports:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family) as probe:
                # As the server does; a connection that has just ended is in nobody's way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    raise CannotStart(f"port {port} cannot be had ({error}): {remedy}") from error


_OTHER_PROJECT = (
    "another runserver may have it; give this project a port of its own by "
    'JACKFIELD = {"default": {"OPTIONS": {"port": 8412}}}'
)


def answers(host: str, port: int) -> bool:
    """Whether a server says that it is well."""
    connection = HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Writes a configuration that nobody else may read: it holds the key."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(config, file, indent=2)


def clean_environment() -> dict[str, str]:
    """The environment without what the server would take for its configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("JACKFIELD_")}
