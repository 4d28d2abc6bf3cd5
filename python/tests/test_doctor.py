"""`manage.py jackfield doctor`: each fault is made, and found."""

import json
import os
import socket as sockets
import sys
import threading

import pytest

from django_jackfield.devserver.binary import find_binary
from sites import Site, findings

pytestmark = [
    pytest.mark.skipif(find_binary() is None, reason="no server binary: set JACKFIELD_BIN"),
    pytest.mark.skipif(sys.platform != "linux", reason="runs a site as test_runserver does"),
]


@pytest.fixture(scope="module")
def site():
    made = Site()
    made.runserver()
    try:
        made.said("Quit the server")
        yield made
    finally:
        made.remove()


@pytest.fixture
def quiet():
    """A site that nothing runs of."""
    made = Site()
    yield made
    made.remove()


def look(site, *arguments, **more):
    own = {"DJANGO_JACKFIELD_URL": f"ws://127.0.0.1:{site.server_port}/connection/websocket"}
    return findings(site, "--origin", f"http://localhost:{site.port}", *arguments, **own | more)


def change(site, old, new):
    """A setting of the next command; the runserver of the site has its own copy to reload."""
    text = (site.folder / "site_settings.py").read_text()
    assert old in text
    site.write("other_settings.py", text.replace(old, new))
    return {"DJANGO_SETTINGS_MODULE": "other_settings"}


def test_a_sound_site(site):
    found, code = look(site)
    assert {line["state"] for line in found.values()} == {"ok"}, found
    assert code == 0
    assert set(found) == {
        *("setting", "binary", "queue", "dead letters", "server and queue", "handlers", "worker"),
        *("internal port", "public URL", "keys", "clock", "round trip", "worker round trip"),
        "origins",
    }


def test_words_for_people(site):
    done = site.manage(
        *("jackfield", "doctor", "--origin", "http://localhost:9"),
        DJANGO_JACKFIELD_URL=f"ws://127.0.0.1:{site.server_port}/connection/websocket",
    )
    assert done.returncode == 1
    assert "problem  origins: the server refuses pages of http://localhost:9" in done.stdout
    assert 'allowed_origins = ["http://localhost:9"]' in done.stdout
    assert done.stdout.rstrip().endswith("1 problem")


def test_nothing_runs(quiet):
    found, code = look(quiet)
    assert code == 1
    assert found["queue"]["state"] == "problem"
    assert found["public URL"]["state"] == "problem"
    assert "worker" not in found
    assert found["handlers"]["state"] == "ok"


def test_a_wrong_setting(site):
    found, code = look(site, **change(site, '"ANONYMOUS"', '"ANONYMUS"'))
    assert code == 1
    assert found["setting (jackfield.E001)"]["state"] == "problem"
    assert "ANONYMOUS" in found["setting (jackfield.E001)"]["text"]


def test_another_key(site):
    found, code = look(site, **change(site, '"ANONYMOUS"', '"KEYS": ["another"], "ANONYMOUS"'))
    assert code == 1
    assert found["keys"]["state"] == "problem"
    assert "hmac_secret_key" in found["keys"]["remedy"]


def test_another_prefix(site):
    found, code = look(site, **change(site, '"ANONYMOUS"', '"PREFIX": "other", "ANONYMOUS"'))
    assert code == 1
    assert found["server and queue"]["state"] == "problem"
    assert 'prefix = "other"' in found["server and queue"]["remedy"]
    assert found["worker"]["state"] == "problem"
    assert found["round trip"]["state"] == "problem"


def test_a_backend_without_a_server(quiet):
    found, code = look(
        quiet,
        **change(
            quiet,
            '"OPTIONS"',
            '"BACKEND": "django_jackfield.backends.dummy.DummyBackend", "OPTIONS": {}, "X"',
        ),
    )
    assert code == 1
    assert any(line["state"] == "problem" for line in found.values())


def test_no_binary(site):
    found, code = look(site, JACKFIELD_BIN="/nowhere/jackfield")
    assert code == 0
    assert found["binary"]["state"] == "note"


def test_a_binary_of_another_version(site):
    fake = site.folder / "jackfield-9"
    fake.write_text("#!/bin/sh\necho jackfield 9.9.9\n")
    fake.chmod(0o755)
    found, code = look(site, JACKFIELD_BIN=str(fake))
    assert code == 1
    assert "9.9.9" in found["binary"]["text"]


def ended(group):
    """Whether nobody of a process group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_no_worker(quiet):
    quiet.runserver()
    quiet.said("Quit the server")
    config = next(quiet.folder.glob("jackfield-*/jackfield.json")).read_text()
    from servers import until

    quiet.process.terminate()
    quiet.process.wait(30)
    # Its worker may live a moment longer, and would find the next server.
    until(lambda: ended(quiet.process.pid), what="the end of all that runserver started")
    path = quiet.folder / "kept.json"
    path.write_text(config)
    import subprocess

    server = subprocess.Popen([find_binary(), "serve", "-c", str(path)])
    try:
        from django_jackfield.devserver.server import answers

        until(lambda: answers("127.0.0.1", quiet.server_port), what="the server")
        found, code = look(quiet)
    finally:
        server.terminate()
        server.wait(30)
    assert code == 1
    assert found["worker"]["state"] == "problem"
    assert found["worker round trip"]["state"] == "note"
    assert found["round trip"]["state"] == "ok"


def test_a_broken_handler(quiet):
    quiet.write("book/realtime.py", "1 / 0\n")
    found, code = look(quiet)
    assert code == 1
    assert "ZeroDivisionError" in found["handlers"]["text"]


def test_dead_letters_are_counted(quiet):
    quiet.runserver()
    quiet.said("Quit the server")
    import redis

    client = redis.Redis(port=quiet.queue, protocol=2)
    client.xadd("{jackfield:3}:dead", {"reason": "no such thing", "id": "one"})
    client.close()
    found, code = look(quiet)
    assert found["dead letters"]["state"] == "note"
    assert "no such thing" in found["dead letters"]["text"]
    assert code == 0


def test_something_else_at_the_url(site):
    """An HTTP server that upgrades nothing."""
    with sockets.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        found, code = look(site, "--url", f"ws://127.0.0.1:{listener.getsockname()[1]}/ws")
        thread.join(10)
    assert code == 1
    assert "404" in found["public URL"]["text"]
    assert "Upgrade" in found["public URL"]["remedy"]


def test_clocks_apart():
    from django_jackfield.doctor.server_side import _clock

    assert _clock({"time": 1_000_000}, {}, 1000.5).state == "ok"
    assert _clock({"time": 1_000_000}, {}, 900.0).state == "problem"
    assert _clock({}, {}, 900.0).state == "note"
    date = {"date": "Sun, 22 Nov 2026 04:41:17 GMT"}
    assert _clock({}, date, 1795322477.2).state == "ok"
    assert _clock({}, date, 1795322500.0).state == "problem"


def test_a_named_internal_port_must_answer(site):
    found, code = look(site, "--internal-url", "http://127.0.0.1:9")
    assert code == 1
    assert found["internal port"]["state"] == "problem"
    assert json.dumps(found)
