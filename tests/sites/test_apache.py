"""docs/django-apache.md, carried out: Debian's Apache and mod_wsgi, Jackfield beside it, pages in Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from browser import Browser
from processes import connections, family, name
from recipe import Recipe
from serving import wait_for
from shop import Shop, figures, order, settled, visit

WSGI = Path("/usr/lib/apache2/modules/mod_wsgi.so")
pytestmark = pytest.mark.skipif(
    not (WSGI.exists() and Path("/usr/sbin/apache2ctl").exists()),
    reason="there is no Apache with mod_wsgi (apache2, libapache2-mod-wsgi-py3)",
)


class Apache:
    """An instance of Debian's Apache with folders of its own; its tools work on it as on the first one."""

    def __init__(self, folder: Path, port: int):
        self.conf, self.run, self.log = folder / "apache2", folder / "run", folder / "log"
        shutil.copytree("/etc/apache2", self.conf, symlinks=True)
        self.run.mkdir()
        self.log.mkdir()
        state = folder / "state"
        (self.conf / "ports.conf").write_text(f"Listen 127.0.0.1:{port}\n")
        # What other sites of this machine have in common with ours is none of our business.
        for enabled in (self.conf / "sites-enabled").iterdir():
            if enabled.name != "000-default.conf":
                enabled.unlink()
        user = "www-data" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
        (self.conf / "envvars").write_text(
            f"export APACHE_RUN_USER={user} APACHE_RUN_GROUP={user}\n"
            f"export APACHE_PID_FILE={self.run}/apache2.pid APACHE_RUN_DIR={self.run}\n"
            f"export APACHE_LOCK_DIR={self.run} APACHE_LOG_DIR={self.log} LANG=C\n"
        )
        self.env = {
            "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}",
            "APACHE_CONFDIR": str(self.conf),
            "A2ENMOD_STATE": str(state),
        }

    def control(self, *arguments: str) -> None:
        done = subprocess.run(
            ["apache2ctl", *arguments], env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"apache2ctl {arguments}: {done.stdout}{done.stderr}{self.errors()}"

    def pid(self) -> int:
        return int((self.run / "apache2.pid").read_text())

    def processes(self) -> list[int]:
        return family(self.pid())

    def django(self) -> list[int]:
        """The processes of mod_wsgi, which call themselves so."""
        return [pid for pid in self.processes() if "(wsgi:shop)" in name(pid)]

    def errors(self) -> str:
        path = self.log / "error.log"
        return path.read_text(errors="replace")[-12000:] if path.exists() else ""

    def stop(self) -> None:
        if (self.run / "apache2.pid").exists():
            pids = self.processes()
            self.control("stop")
            wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the end of Apache")


@pytest.fixture
def shop(place: Path) -> Iterator[Shop]:
    shop = Shop(place)
    yield shop
    shop.end()


@pytest.fixture
def apache(place: Path, shop: Shop) -> Iterator[Apache]:
    apache = Apache(place / "etc", shop.port)
    yield apache
    print(apache.errors())
    apache.stop()


def test_the_recipe(
    shop: Shop, apache: Apache, authority: Authority, browser: Browser, redis: Any, wheel: Path
) -> None:
    page = authority.issue("localhost")
    names = shop.names(redis, wheel, page) | {
        "/etc/apache2": str(apache.conf),
        "*:443": f"*:{shop.port}",
        "ServerName example.com": "ServerName localhost",
        "rt.example.com:8443": f"localhost:{shop.socket_port}",
        "port = 8443": f"port = {shop.socket_port}",
        "/etc/jackfield/rt.example.com.pem": str(page.certificate),
        "/etc/jackfield/rt.example.com.key": str(page.key),
    }
    recipe = Recipe("django-apache.md", names)
    settled(recipe, shop)
    said = subprocess.run(
        [shop.site / "venv/bin/python", "-c", "import django; print(django.VERSION[:2])"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.strip() == "(5, 2)"
    recipe.write("shop.conf")
    recipe.run(
        "a2ensite",
        env=apache.env,
        instead=lambda line: "apache2ctl start" if line == "systemctl reload apache2" else line,
    )
    recipe.write("jackfield.toml")
    recipe.run("enable --now", env=shop.env, instead=lambda line: None if line.startswith("systemctl") else line)
    shop.serve()
    wait_for(lambda: (apache.run / "apache2.pid").exists() and apache.django(), f"mod_wsgi\n{apache.errors()}")

    pages = ["of ann", "of bob"]
    visit(browser, shop, {"of ann": "ann", "of bob": "bob"})
    order(browser, "a kettle", by="of ann", seen_by=pages)
    assert browser.evaluate("of bob", "document.getElementById('orders').innerText") == "ann: a kettle"

    # Both sockets are the server's, and Apache has nothing of them: pages and Redis are all that it talks with.
    assert shop.server
    held = connections([shop.server.pid])
    assert sum(own == shop.socket_port for own, _ in held) == len(pages), held
    for own, other in connections(apache.processes()):
        assert own == shop.port or other == redis.port, (own, other)
    assert any(other == redis.port for _, other in connections(apache.django()))
    figures(
        "Apache + mod_wsgi, two idle pages", [*apache.processes(), shop.server.pid, redis.process.pid]
    )

    # A reload starts new processes of Django; the pages do not notice.
    before = apache.django()
    apache.control("graceful")
    wait_for(lambda: apache.django() and not set(before) & set(apache.django()), "new processes of Django")
    order(browser, "a cup", by="of bob", seen_by=pages)

    # Nor do they when there is no Apache at all for a while.
    apache.stop()
    assert sum(own == shop.socket_port for own, _ in connections([shop.server.pid])) == len(pages)
    apache.control("start")
    wait_for(lambda: (apache.run / "apache2.pid").exists() and apache.django(), f"mod_wsgi\n{apache.errors()}")
    order(browser, "a spoon", by="of ann", seen_by=pages)
    for one in pages:
        assert browser.evaluate(one, "window.connects") == 1
        assert browser.evaluate(one, "window.seen") == ["a kettle", "a cup", "a spoon"]
