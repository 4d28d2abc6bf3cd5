"""The pytest plugin in a project of its own: locmem by itself, the way out, xdist, unittest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_jackfield.testing.live import binary

HERE = Path(__file__).parent
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_jackfield"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
JACKFIELD = {
    "default": {"OPTIONS": {"port": 9}, "KEYS": ["k"]},
    "other": {"BACKEND": "django_jackfield.backends.console.ConsoleBackend"},
}
"""
TESTS = """
import pytest
from django.test import TestCase
from django_jackfield import Channel, brokers, publish
from django_jackfield.registry import isolated
from django_jackfield.test import RealtimeTestMixin, outbox, server

def kinds():
    return {type(brokers[alias]).__name__ for alias in ("default", "other")}

@pytest.mark.parametrize("number", range(4))
def test_every_alias_is_locmem(number):
    assert kinds() == {"LocMemBackend"}
    assert outbox == []
    publish("a", number, on_commit=False, via="other")
    assert len(outbox) == 1

@pytest.mark.jackfield_real
def test_the_way_out():
    assert kinds() == {"EmbeddedBackend", "ConsoleBackend"}

@pytest.mark.django_db
def test_fixtures(jackfield_client, jackfield_outbox):
    with isolated():
        class News(Channel):
            pattern = "news"
            access = "public"
        client = jackfield_client()
        client.subscribe("news")
        publish("news", 1, on_commit=False)
        assert client.received() == jackfield_outbox
        assert list(server.clients) == [client.id]

class One(RealtimeTestMixin, TestCase):
    def test_one(self):
        assert kinds() == {"LocMemBackend"} and not server.clients
        self.jackfield_client("dev:1")

class Two(One):
    pass
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def run(folder, *command, configured=True, **files):
    for name, text in files.items():
        (folder / name.replace("_ini", ".ini")).write_text(text)
    names = ("DJANGO_SETTINGS_MODULE", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    if configured:
        environment["DJANGO_SETTINGS_MODULE"] = "settings"
    environment["PYTHONPATH"] = str(folder)
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_locmem_by_itself(project):
    code, said = run(project, "-m", "pytest", "-q")
    assert code == 0, said
    assert "8 passed" in said


LIVE = """
from django.contrib.auth.models import User
from django_jackfield import brokers, send

def test_live(jackfield_live):
    assert type(brokers["other"]).__name__ == "EmbeddedBackend"
    ann = User.objects.create_user("ann")
    with jackfield_live.connect(ann) as client:
        send(user=ann, data=1)
        assert [one.data for one in client.wait_for(1)] == [1]

def test_and_back():
    assert type(brokers["other"]).__name__ == "LocMemBackend"
"""


def test_live_in_between(project):
    if binary() is None:
        pytest.skip("no jackfield binary: name one by JACKFIELD_BIN")
    code, said = run(project, "-m", "pytest", "-q", "test_live.py", **{"test_live.py": LIVE})
    assert code == 0, said
    assert "2 passed" in said


def test_a_live_test_without_a_binary_is_skipped_with_a_reason(project, monkeypatch):
    monkeypatch.setenv("JACKFIELD_BIN", "/nowhere/jackfield")
    code, said = run(project, "-m", "pytest", "-rs", "test_live.py", **{"test_live.py": LIVE})
    assert code == 0, said
    assert "no jackfield binary" in said


def test_the_way_out_for_all(project):
    code, said = run(project, "-m", "pytest", "-q", pytest_ini="[pytest]\njackfield_locmem = false")
    assert code == 1, said
    assert "4 failed, 4 passed" in said


def test_with_xdist(project):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    code, said = run(project, "-m", "pytest", "-q", "-n", "2")
    assert code == 0, said
    assert "8 passed" in said


def test_with_unittest_in_parallel(project):
    code, said = run(project, "-m", "django", "test", "--parallel", "2", "test_it")
    assert code == 0, said
    assert "Ran 2 tests" in said


def test_a_project_without_django_is_left_alone(tmp_path):
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n")
    code, said = run(tmp_path, "-m", "pytest", "-q", configured=False)
    assert code == 0, said
    assert "1 passed" in said
