"""A throwaway project on disk, as `startproject` makes it, and its `runserver`."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from servers import free_port, until

SETTINGS = """
import os
SECRET_KEY = "the-secret-key-of-a-site"
DEBUG = True
USE_TZ = True
ROOT_URLCONF = "site_urls"
INSTALLED_APPS = ["django_jackfield", "django.contrib.staticfiles", "book"]
STATIC_URL = "static/"
JACKFIELD = {"default": {"OPTIONS": {"port": %(queue)d}, "ANONYMOUS": True}}
"""

URLS = """
from django.http import JsonResponse
from django.urls import include, path
from django_jackfield import brokers, publish
from django_jackfield.page import page_config

def hit(request):
    publish("book:1", {"event": "hit", "data": 1})
    return JsonResponse({"url": brokers["default"].config.public_url})

def page(request):
    return JsonResponse(page_config(request))

urlpatterns = [
    path("jackfield/", include("django_jackfield.urls")),
    path("hit", hit),
    path("page", page),
]
"""

REALTIME = """
from django_jackfield import Channel, rpc

class Book(Channel):
    pattern = "book:<int:pk>"
    access = "public"

@rpc("version")
def version(ctx):
    return {"version": 1}
"""


class Site:
    """A project in a folder of its own, with ports of its own."""

    def __init__(self, **files):
        self.folder = Path(tempfile.mkdtemp(prefix="jackfield-site-"))
        self.port, self.server_port, self.queue = _ports()
        (self.folder / "book").mkdir()
        self.write("book/__init__.py", "")
        self.write("book/realtime.py", REALTIME)
        self.write("site_settings.py", SETTINGS % {"queue": self.queue})
        self.write("site_urls.py", URLS)
        self.log = self.folder / "runserver.log"
        self.process = None

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def environment(self, **more):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_JACKFIELD")}
        return clean | {
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "PYTHONPATH": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.folder),
            **more,
        }

    def manage(self, *arguments, **more):
        """Runs a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            env=self.environment(**more),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def runserver(self, *arguments, address="", **more):
        """Starts it; `said` waits for what it prints."""
        place = f"{address}:{self.port}" if address else str(self.port)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "django", "runserver", place, *arguments],
                env=self.environment(**more),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def output(self):
        return self.log.read_text(errors="replace")

    def said(self, text, times=1):
        def found():
            assert self.process.poll() is None, self.output()
            return self.output().count(text) >= times

        try:
            until(found, what=repr(text))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from error

    def edit(self, name, text, say):
        """Edits until the reloader has noticed: it overlooks what changes before its first look."""
        count, end = self.output().count(say), time.monotonic() + 60
        while self.output().count(say) == count:
            assert time.monotonic() < end, self.output()
            self.write(name, text)
            with contextlib.suppress(AssertionError):
                until(lambda: self.output().count(say) > count, 3.0)

    def processes(self):
        """Every process that has this folder in its arguments or its environment."""
        found = {}
        mark = str(self.folder).encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes()
                if mark in arguments or mark in (entry / "environ").read_bytes():
                    found[int(entry.name)] = arguments.replace(b"\0", b" ").decode()
        return found

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def findings(site, *arguments, **more):
    """What `jackfield doctor` finds, by subject, and its exit code."""
    done = site.manage("jackfield", "doctor", "--json", *arguments, **more)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    return {line["subject"]: line for line in lines}, done.returncode


def _ports():
    """Of Django, of the server after it, of the queue; before that is the internal port."""
    web, queue = free_port(), free_port()
    return web, web + 1, queue
