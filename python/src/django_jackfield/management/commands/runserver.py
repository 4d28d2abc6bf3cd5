"""`runserver`, with the Jackfield server beside it and the worker inside it.

Several apps bring a `runserver` of their own (staticfiles, whitenoise, daphne). This one extends
whichever comes next in INSTALLED_APPS, so that they all keep working.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandParser
from django.utils import autoreload

from django_jackfield.aliases import InvalidAlias, brokers
from django_jackfield.conf import ANY_HOST, URL_VARIABLE, raw_aliases
from django_jackfield.devserver import binary, config
from django_jackfield.devserver.server import CannotStart, LocalServer, write_config
from django_jackfield.devserver.worker import start_worker, watch
from django_jackfield.registry import Registry, discover, registry

STATE_VARIABLE = "DJANGO_JACKFIELD_RUNSERVER"
"""What the reloader's parent tells its child: pids, the file of the configuration, its digest."""


def next_command() -> Any:
    """The command class of the next app that has a `runserver`."""
    for app in _next_apps():
        name = f"{app}.management.commands.runserver"
        try:
            return import_module(name).Command
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
    raise AssertionError("Django itself has a runserver")


def _next_apps() -> Iterator[str]:
    own = __name__.partition(".management.")[0]
    names = [app.name for app in apps.get_app_configs()]
    yield from names[names.index(own) + 1 :] if own in names else names
    yield "django.core"


class Command(next_command()):  # type: ignore[misc]
    """Django's runserver; pages that it serves are live."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--nojackfield",
            action="store_false",
            dest="use_jackfield",
            help="Starts neither the Jackfield server nor a worker.",
        )
        parser.add_argument(
            "--jackfield-port",
            type=int,
            help="Port of the Jackfield server; the port of Django plus 1 if not given.",
        )
        parser.add_argument(
            "--jackfield-url",
            metavar="URL",
            help="Starts no server: pages use the one at this URL (ws://.../connection/websocket).",
        )

    def run(self, **options: Any) -> None:
        """Starts the server in the parent, which the reloader leaves alone."""
        if options["use_jackfield"] and not _is_child():
            if options["jackfield_url"]:
                os.environ[URL_VARIABLE] = options["jackfield_url"]
                os.environ[STATE_VARIABLE] = json.dumps({"parent": os.getpid()})
                brokers.reset()
            else:
                self._start_server(options["jackfield_port"] or int(self.port) + 1)
        super().run(**options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Starts the worker in the process that is reloaded."""
        state = json.loads(os.environ.get(STATE_VARIABLE, "{}"))
        if options["use_jackfield"] and state:
            hindrance = start_worker()
            if _is_child():
                watch(state["parent"])
            if hindrance:
                self._say(hindrance)
            elif "leash" in state:
                self._renew_server(state)
        elif options["use_jackfield"] and _is_child() and STATE_VARIABLE not in os.environ:
            # Django takes its own runserver for the parent of a project that cannot be loaded.
            self._say("start runserver anew, and the Jackfield server is started with it")
        super().inner_run(*args, **options)

    def _start_server(self, port: int) -> None:
        os.environ[STATE_VARIABLE] = "{}"
        try:
            program = binary.find_binary()
            if program is None:
                raise CannotStart(binary.missing())
            setting = brokers["default"].config
            full = self._first_config(port)
            server = LocalServer(program, full)
            server.start()
        except (CannotStart, ImproperlyConfigured, InvalidAlias, OSError) as error:
            self._say(f"Jackfield is not started: {error}")
            return
        if not raw_aliases()["default"].get("PUBLIC_URL"):
            os.environ[URL_VARIABLE] = config.public_url(self._address(), port)
            brokers.reset()
        os.environ[STATE_VARIABLE] = json.dumps(
            {
                "parent": os.getpid(),
                "leash": server.pid,
                "path": str(server.path),
                "port": port,
                "digest": digest(full),
            }
        )
        queue = config.driver_of(setting)
        told = brokers["default"].config.public_url
        if full["http_server"]["address"] in ANY_HOST:
            told = f"{told}, and at every other address of this machine"
        self._say(f"Jackfield server at {told} (queue: {queue}; --nojackfield leaves it out)")

    def _renew_server(self, state: dict[str, Any]) -> None:
        """Gives the server what the channels say by now, if that is something else."""
        try:
            full = self._config(state["port"], registry)
        except ImproperlyConfigured as error:
            self._say(f"the Jackfield server is left as it is: {error}")
            return
        path = Path(state["path"])
        try:
            known = digest(json.loads(path.read_text()))
        except OSError:
            return
        if digest(full) == known:
            return
        if not hasattr(signal, "SIGHUP"):
            self._say("the options of a channel have changed: start runserver anew")
            return
        write_config(path, full)
        os.kill(state["leash"], signal.SIGHUP)
        self._say("the options of a channel have changed: the Jackfield server starts anew")

    def _first_config(self, port: int) -> dict[str, Any]:
        """What the parent starts the server with.

        What is wrong with a realtime.py is told by the child, which tells the server of its
        channels once it has been corrected.
        """
        with suppress(Exception):
            return self._config(port, discover())
        return self._config(port, Registry())

    def _config(self, port: int, declared: Registry) -> dict[str, Any]:
        address = self._address()
        pages = config.origins(address, self.port)
        site = config.site_url(address, self.port)
        return config.local_config(brokers["default"].config, declared, address, port, pages, site)

    def _address(self) -> str:
        """The address as a number: the server takes no names."""
        if self.addr in config.WILDCARDS:
            return str(self.addr)
        return str(socket.getaddrinfo(self.addr, None, type=socket.SOCK_STREAM)[0][4][0])

    def _say(self, text: str) -> None:
        self.stderr.write(text)


def digest(full: dict[str, Any]) -> str:
    """By which two configurations are compared."""
    return hashlib.sha256(json.dumps(full, sort_keys=True).encode()).hexdigest()


def _is_child() -> bool:
    return os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"
