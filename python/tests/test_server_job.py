"""`manage.py jackfield server`: the binary in the place of the Python process."""

import os
import signal
import subprocess
import sys

import pytest

from django_jackfield.devserver.binary import find_binary
from django_jackfield.devserver.server import answers
from servers import free_port, until
from sites import Site

pytestmark = [
    pytest.mark.skipif(find_binary() is None, reason="no server binary: set JACKFIELD_BIN"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@pytest.fixture
def site():
    made = Site()
    yield made
    made.remove()


def started(site, *arguments):
    with site.log.open("ab") as log:
        site.process = subprocess.Popen(
            [sys.executable, "-m", "django", "jackfield", "server", *arguments],
            env=site.environment(),
            cwd=site.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return site.process


def test_with_a_derived_configuration(site):
    process = started(site, "--port", str(site.server_port), "--pages", "http://localhost:3000")
    until(lambda: answers("127.0.0.1", site.server_port), what="the server")
    assert os.path.basename(os.readlink(f"/proc/{process.pid}/exe")) == os.path.basename(
        os.path.realpath(find_binary())
    )
    file = next(site.folder.glob("jackfield-*/jackfield.json"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert '"http://localhost:3000"' in file.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_with_a_file(site):
    internal = free_port()
    site.write(
        "jackfield.toml",
        f'[http_server]\naddress = "127.0.0.1"\nport = {site.server_port}\n'
        f"internal_port = {internal}\n[client]\ninsecure = true\n",
    )
    process = started(site, "--config", "jackfield.toml")
    until(lambda: answers("127.0.0.1", site.server_port), what="the server")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_without_a_binary(site):
    done = site.manage("jackfield", "server", JACKFIELD_BIN="/nowhere/jackfield")
    assert done.returncode == 1
    assert "name the jackfield binary" in done.stderr
