"""`runserver` with the server beside it. Needs the server binary: JACKFIELD_BIN."""

import json
import os
import signal
import socket as sockets
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from django_jackfield.devserver.binary import find_binary
from django_jackfield.doctor.websocket import Closed, WebSocket
from servers import until
from sites import REALTIME, Site, findings

pytestmark = [
    pytest.mark.skipif(find_binary() is None, reason="no server binary: set JACKFIELD_BIN"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@pytest.fixture
def site():
    made = Site()
    yield made
    made.remove()


def url(site, host="127.0.0.1"):
    return f"ws://{host}:{site.server_port}/connection/websocket"


def fetch(site, path, host="127.0.0.1"):
    """What a page says; a child that was just reloaded has its worker before it has its port."""
    answers = []

    def answered():
        try:
            with urlopen(f"http://{host}:{site.port}/{path}", timeout=30) as answer:
                answers.append(json.loads(answer.read()))
        except URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        return answers

    until(answered, what=f"the page {path!r}")
    return answers[0]


def connected(site, host="localhost"):
    told = fetch(site, "jackfield/token/", "127.0.0.1" if host == "localhost" else host)
    with ExitStack() as stack:
        origin = f"http://{host}:{site.port}"
        socket = stack.enter_context(WebSocket(told["url"], origin=origin, timeout=30))
        reply = socket.command(connect={"token": told["token"]})
        assert "connect" in reply, reply
        stack.pop_all()
    return socket


def version(socket):
    reply = socket.command(rpc={"method": "version"})
    return reply.get("rpc", {}).get("data", {}).get("version")


def test_an_edited_handler_is_in_force_while_the_connection_stays(site):
    site.runserver()
    site.said("Quit the server")
    assert site.output().count("Jackfield server at") == 1
    assert fetch(site, "hit") == {"url": url(site)}
    with connected(site) as socket:
        assert "error" not in socket.command(subscribe={"channel": "book:1"})
        assert version(socket) == 1
        edited = REALTIME.replace('"version": 1', '"version": 2')
        site.edit("book/realtime.py", edited, "changed, reloading")
        until(lambda: version(socket) == 2, what="the new handler")
        fetch(site, "hit")
        socket.wait_for_publication("book:1")
    assert site.output().count("Jackfield server at") == 1


def test_cookies_log_in_where_the_setting_says_so(site):
    more = """
INSTALLED_APPS += ["django.contrib." + name for name in ("auth", "contenttypes", "sessions")]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
JACKFIELD["default"]["AUTH"] = "session"
"""
    settings = (site.folder / "site_settings.py").read_text() + more
    site.write("site_settings.py", settings)
    site.runserver()
    site.said("Quit the server")
    # The server has been told of the view, and asks it: visitors may come in.
    with WebSocket(url(site), origin=f"http://localhost:{site.port}", timeout=30) as socket:
        assert socket.command(connect={})["connect"]["data"] == {"user": ""}
    own = {"DJANGO_JACKFIELD_URL": url(site)}
    found, code = findings(site, "--origin", f"http://localhost:{site.port}", **own)
    assert (found["cookies"]["state"], found["connect view"]["state"]) == ("ok", "note")
    assert code == 0, found


def test_a_broken_realtime_is_waited_for(site):
    site.write("book/realtime.py", "def broken(:\n")
    site.runserver()
    site.said("System check identified")
    assert "SyntaxError" in site.output()
    assert "Jackfield server at" in site.output()
    site.write("book/realtime.py", REALTIME)
    site.said("Quit the server")

    def answered():
        try:
            with connected(site) as socket:
                return version(socket) == 1
        except (OSError, Closed, AssertionError):
            # The server starts anew, because the channels are others now.
            return False

    until(answered, what="the mended handler")


def test_kill_9_leaves_nobody_behind(site):
    site.runserver()
    site.said("Quit the server")
    running = " ".join(site.processes().values())
    assert "leash.py" in running
    assert "serve -c" in running
    os.kill(site.process.pid, signal.SIGKILL)
    site.process.wait(10)
    until(lambda: not site.processes(), what="the end of all processes")
    assert not list(site.folder.glob("jackfield-*")), "the file with the key is left"


def test_a_server_whose_leash_is_killed_ends(site):
    site.runserver()
    site.said("Quit the server")
    leash = next(pid for pid, what in site.processes().items() if "leash.py" in what)
    os.kill(leash, signal.SIGKILL)
    until(
        lambda: not any("serve -c" in what for what in site.processes().values()),
        what="the end of the server",
    )


def test_sigterm_ends_all(site):
    site.runserver()
    site.said("Quit the server")
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(30) == 0
    until(lambda: not site.processes(), what="the end of all processes")


def test_without_a_binary_runserver_works_and_says_how(site):
    site.runserver(JACKFIELD_BIN="/nowhere/jackfield")
    site.said("Quit the server")
    assert "Jackfield is not started: JACKFIELD_BIN is /nowhere/jackfield" in site.output()
    assert "leash.py" not in " ".join(site.processes().values())


def test_nojackfield_and_noreload(site):
    site.runserver("--nojackfield", "--noreload")
    site.said("Quit the server")
    assert "Jackfield" not in site.output()
    assert "leash.py" not in " ".join(site.processes().values())
    site.remove()


def test_noreload_has_server_and_worker_in_one(site):
    site.runserver("--noreload")
    site.said("Quit the server")
    with connected(site) as socket:
        until(lambda: version(socket) == 1, what="the worker")


def test_another_server_by_its_url(site):
    site.runserver("--jackfield-url", "ws://127.0.0.1:9/connection/websocket")
    site.said("Quit the server")
    assert fetch(site, "hit") == {"url": "ws://127.0.0.1:9/connection/websocket"}
    assert "leash.py" not in " ".join(site.processes().values())


@pytest.mark.parametrize(
    ("address", "hosts"),
    # 127.0.0.2 stands for the address that a phone uses: loopback, and yet another one.
    [("0.0.0.0", ["127.0.0.1", "127.0.0.2"]), ("0", ["127.0.0.2"]), ("[::]", ["[::1]"])],
)
def test_a_page_is_told_the_host_it_was_asked_for(site, address, hosts):
    if ":" in address and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    allow_every_host(site)
    site.runserver(address=address)
    site.said("Quit the server")
    assert "at every other address of this machine" in site.output()
    for host in hosts:
        assert fetch(site, "page", host)["url"] == url(site, host)
        assert fetch(site, "jackfield/token/", host)["url"] == url(site, host)
        with connected(site, host) as socket:
            assert "error" not in socket.command(subscribe={"channel": "book:1"})


def test_without_an_address_nobody_else_is_let_in(site):
    allow_every_host(site)
    site.runserver()
    site.said("Quit the server")
    assert "every other address" not in site.output()
    with (
        pytest.raises(OSError, match="refused"),
        sockets.create_connection(("127.0.0.2", site.server_port), 5),
    ):
        pass


def test_a_configured_url_is_told_whatever_the_host(site):
    allow_every_host(site, '"PUBLIC_URL": "wss://socket.example.com/connection/websocket", ')
    site.runserver(address="0.0.0.0")
    site.said("Quit the server")
    told = fetch(site, "page", "127.0.0.2")["url"]
    assert told == "wss://socket.example.com/connection/websocket"


def allow_every_host(site, more=""):
    text = (site.folder / "site_settings.py").read_text()
    text = text.replace('{"default": {', '{"default": {' + more)
    site.write("site_settings.py", f'{text}\nALLOWED_HOSTS = ["*"]\n')


def has_ipv6():
    with sockets.socket(sockets.AF_INET6) as probe, suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


def test_a_taken_port_is_told(site):
    with sockets.socket() as other:
        other.bind(("127.0.0.1", site.server_port))
        other.listen()
        site.runserver()
        site.said("Quit the server")
    assert f"port {site.server_port} cannot be had" in site.output()
    assert "--jackfield-port" in site.output()


def test_changed_options_of_a_channel_start_the_server_anew(site):
    site.runserver()
    site.said("Quit the server")
    changed = REALTIME.replace('access = "public"', 'access = "public"\n    presence = True')
    site.edit("book/realtime.py", changed, "the options of a channel have changed")

    def present():
        try:
            with connected(site) as socket:
                socket.command(subscribe={"channel": "book:1"})
                return "presence" in socket.command(presence={"channel": "book:1"})
        except (OSError, Closed, AssertionError):
            return False

    until(present, what="presence, which the channel has now")


def test_the_next_runserver_is_extended(site):
    """staticfiles serves files, so its command is below ours; an own one comes between."""
    commands = site.folder / "book" / "management" / "commands"
    commands.mkdir(parents=True)
    for folder in (commands, commands.parent):
        (folder / "__init__.py").write_text("")
    (commands / "runserver.py").write_text(
        "from django.contrib.staticfiles.management.commands.runserver import Command as Below\n"
        "class Command(Below):\n    default_port = '1'\n"
    )
    settings = (site.folder / "site_settings.py").read_text()
    site.write(
        "site_settings.py",
        settings.replace(
            '"django.contrib.staticfiles", "book"', '"book", "django.contrib.staticfiles"'
        ),
    )
    probe = (
        "import django; django.setup();"
        "from django.core.management import load_command_class as l;"
        "print([c.__module__ for c in type(l('django_jackfield', 'runserver')).__mro__])"
    )
    Path(site.folder, "probe.py").write_text(probe)
    import subprocess

    done = subprocess.run(
        [sys.executable, "probe.py"],
        env=site.environment(),
        cwd=site.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    order = [name.removesuffix(".management.commands.runserver") for name in eval(done.stdout)]
    assert order[:4] == [
        "django_jackfield",
        "book",
        "django.contrib.staticfiles",
        "django.core",
    ]


def test_our_app_after_staticfiles_is_an_error(site):
    settings = (site.folder / "site_settings.py").read_text()
    site.write(
        "site_settings.py",
        settings.replace(
            '"django_jackfield", "django.contrib.staticfiles"',
            '"django.contrib.staticfiles", "django_jackfield"',
        ),
    )
    done = site.manage("check")
    assert done.returncode == 1
    assert "jackfield.E005" in done.stderr
