"""Chromium, the real server, Django under gunicorn and a worker: what pages see."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from django_jackfield import conf
from django_jackfield.connect_call import USUAL_PATH, table
from django_jackfield.toml import toml
from django_jackfield.webhook import secret_of
from servers import Server, free_port, until

HERE = Path(__file__).resolve().parent
SITE = HERE / "browser_site"
KEY = "a-key-of-at-least-32-bytes-for-tests"
MODULES = Path(os.environ.get("JACKFIELD_NODE_MODULES") or HERE / "browser_site" / "node_modules")
BINARY = os.environ.get("JACKFIELD_BIN") or shutil.which("jackfield")
CHROMIUM = os.environ.get("JACKFIELD_CHROMIUM", "/usr/bin/chromium")

CONFIG = """
[http_server]
address = "127.0.0.1"
port = {port}
internal_port = {internal}

[client]
allowed_origins = ["{site}"]
expired_close_delay = "5s"

[client.token]
hmac_secret_key = "{key}"

[channel.without_namespace]
allow_subscribe_for_client = true

[[channel.namespaces]]
name = "open"
allow_subscribe_for_anonymous = true
presence = true
join_leave = true
history_size = 100
history_ttl = "5m"
allow_subscribe_for_client = true
allow_publish_for_subscriber = true
allow_presence_for_subscriber = true
allow_history_for_subscriber = true

[[channel.namespaces]]
name = "brief"
allow_subscribe_for_client = true
allow_aggregates = true
allowed_delta_types = ["fossil"]
delta_publish = true

[[channel.namespaces]]
name = "room"
publish_to = "app"
allow_subscribe_for_client = true
allow_publish_for_subscriber = true

[[channel.namespaces]]
name = "vault"

[[channel.namespaces]]
name = "desk"
subscribe_proxy_enabled = true

[rpc.without_namespace]
proxy_enabled = true

[app_link]
driver = "embedded"

[embedded]
port = {queue}
"""


def missing():
    """What these tests need and do not find."""
    if not BINARY or not Path(BINARY).exists():
        return "JACKFIELD_BIN names no server: cargo build --release -p jackfield"
    if not shutil.which("node"):
        return "node is not installed"
    if not (MODULES / "playwright-core").exists():
        return "JACKFIELD_NODE_MODULES has no playwright-core: see tests/sdk/package.json"
    if not Path(CHROMIUM).exists():
        return f"there is no {CHROMIUM}; JACKFIELD_CHROMIUM names another"
    return ""


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


class Process(Server):
    """A process that is there once it answers HTTP; without an address, once it runs."""

    def __init__(self, command, env, url=""):
        super().__init__()
        self.command, self.env, self.url = command, env, url

    def start(self):
        self.spawn(self.command, self.env)
        until(self.started, what=self.command[-1])

    def answers(self):
        if not self.url:
            return True
        try:
            with urllib.request.urlopen(self.url, timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    def logged(self):
        return (self.folder / "out.log").read_text(errors="replace")


def asked_by_cookie(site):
    """What the server needs to ask Django about cookies."""
    secret = secret_of(conf.load("default", {"KEYS": [KEY]}))
    asked = table(f"{site}{USUAL_PATH}") | {"secret": secret}
    return "\n" + toml({"client": {"proxy": {"connect": asked}}})


class Site:
    """A socket server, Django and a worker with ports of their own."""

    def __init__(self, folder, token_ttl=300, anonymous=False, auth="token"):
        port, queue, web = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{web}"
        config = folder / "jackfield.toml"
        text = CONFIG.format(port=port, internal=free_port(), queue=queue, site=self.url, key=KEY)
        if auth != "token":
            text += asked_by_cookie(self.url)
        config.write_text(text)
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith("JACKFIELD")
        }
        env = clean | {
            "DJANGO_SETTINGS_MODULE": "browser_site.settings",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
            "HOME": str(folder),
            "SITE_DATABASE": str(folder / "site.sqlite3"),
            "SITE_KEY": KEY,
            "SITE_QUEUE_PORT": str(queue),
            "SITE_SOCKET_URL": f"ws://127.0.0.1:{port}/connection/websocket",
            "SITE_TOKEN_TTL": str(token_ttl),
            "SITE_ANONYMOUS": "1" if anonymous else "",
            "SITE_AUTH": auth,
            "SITE_CONNECT_URL": f"{self.url}{USUAL_PATH}",
        }
        gunicorn = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{web}", "--threads", "8"]
        self.processes = [
            Process(
                [BINARY, "serve", "-c", str(config), "--workers", "1"],
                clean,
                f"http://127.0.0.1:{port}/health",
            ),
            Process([*gunicorn, "browser_site.wsgi"], env, f"{self.url}/page/page/"),
            Process([sys.executable, "-m", "django", "jackfield", "worker"], env),
        ]

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *exc):
        for process in reversed(self.processes):
            process.remove()

    def drive(self, scenario):
        """Runs a scenario of drive.mjs; returns what it told."""
        done = subprocess.run(
            ["node", str(SITE / "drive.mjs"), scenario],
            env=os.environ
            | {
                "SITE_URL": self.url,
                "JACKFIELD_NODE_MODULES": str(MODULES),
                "JACKFIELD_CHROMIUM": CHROMIUM,
            },
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        logs = "\n".join(process.logged()[-1500:] for process in self.processes)
        assert done.returncode == 0, f"{done.stdout}{done.stderr[-4000:]}\n{logs}"
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site")) as started:
        yield started


@pytest.mark.parametrize(
    "scenario",
    [
        "messages",
        "handlers",
        "members",
        "reconnect",
        "figures",
        "differences",
        "rights",
        "vault",
        "fragments",
        "escapes",
        "tokens",
    ],
)
def test_page(site, scenario):
    assert site.drive(scenario)["name"] == scenario


def test_code_written_for_channels_reaches_a_page(site):
    pytest.importorskip("channels")
    assert site.drive("channels")["name"] == "channels"


def test_tokens_are_renewed_and_refused(tmp_path):
    with Site(tmp_path, token_ttl=2) as site:
        site.drive("expiry")


def test_a_visitor_becomes_a_user(tmp_path):
    with Site(tmp_path, token_ttl=2, anonymous=True) as site:
        site.drive("visitors")


@pytest.fixture(scope="module")
def cookie_site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("cookies"), auth="session", token_ttl=2) as started:
        yield started


def test_a_page_whose_cookie_logs_it_in_needs_no_token(cookie_site):
    cookie_site.drive("cookies")


def test_a_page_stays_that_of_its_user(cookie_site):
    cookie_site.drive("strangers")


@pytest.mark.parametrize("mode", ["token", "session"])
def test_logout_in_one_tab_closes_the_sockets_of_the_others(request, mode, capsys):
    name = "site" if mode == "token" else "cookie_site"
    told = request.getfixturevalue(name).drive("logout")
    with capsys.disabled():
        sys.stdout.write(
            f"\nafter the click in one tab: answered {told['response_ms']} ms, "
            f"the other's socket closed {told['closed_ms']} ms, signed out {told['ms']} ms\n"
        )
