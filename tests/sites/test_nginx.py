"""docs/django-nginx.md, carried out: nginx, gunicorn, sockets through nginx, pages in Chromium."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from browser import Browser
from processes import connections, family
from recipe import Recipe
from serving import free_port, wait_for
from shop import Shop, figures, order, settled, visit

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(not NGINX, reason="there is no nginx")


class Nginx:
    """nginx with the site's file and folders of its own, as Debian's nginx.conf includes it."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "sites-enabled").mkdir(parents=True)
        user = "user www-data;\n" if os.geteuid() == 0 else ""
        temporary = "\n".join(
            f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.conf = folder / "nginx.conf"
        self.conf.write_text(
            f"{user}worker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
            "events { worker_connections 512; }\n"
            f"http {{\n    include /etc/nginx/mime.types;\n    access_log off;\n{temporary}\n"
            f"    include {folder}/sites-enabled/*;\n}}\n"
        )

    def control(self, *arguments: str) -> None:
        assert NGINX
        done = subprocess.run(
            [NGINX, "-c", str(self.conf), "-e", str(self.folder / "error.log"), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def pid(self) -> int:
        return int((self.folder / "nginx.pid").read_text())

    def stop(self) -> None:
        if (self.folder / "nginx.pid").exists():
            pid = self.pid()
            self.control("-s", "stop")
            wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the end of nginx")


@pytest.fixture
def shop(place: Path) -> Iterator[Shop]:
    shop = Shop(place)
    yield shop
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((shop.site / "data/gunicorn.pid").read_text()), signal.SIGTERM)
    shop.end()


@pytest.fixture
def nginx(place: Path, shop: Shop) -> Iterator[Nginx]:
    nginx = Nginx(place / "etc" / "nginx")
    yield nginx
    nginx.stop()


def test_the_recipe(
    shop: Shop, nginx: Nginx, authority: Authority, browser: Browser, redis: Any, wheel: Path
) -> None:
    inner = free_port()
    names = shop.names(redis, wheel, authority.issue("localhost")) | {
        "/etc/nginx": str(nginx.folder),
        "listen 443": f"listen 127.0.0.1:{shop.port}",
        "server_name example.com": "server_name localhost",
        "wss://example.com": f"wss://localhost:{shop.port}",
        "http://127.0.0.1:8400": f"http://127.0.0.1:{inner}",
        "port = 8400": f"port = {inner}",
        "nginx -t": f"{NGINX} -c {nginx.conf} -e {nginx.folder}/error.log -t",
    }
    shop.socket_port = inner
    recipe = Recipe("django-nginx.md", names)
    settled(recipe, shop)
    gunicorn = shop.site / "data/gunicorn.pid"
    wait_for(gunicorn.exists, "gunicorn")
    (shop.site / "data/gunicorn.sock").chmod(0o777)
    recipe.write("sites-enabled/shop")
    recipe.run("reload nginx", env=shop.env, instead=lambda line: None if line.startswith("systemctl") else line)
    nginx.control()
    recipe.write("jackfield.toml")
    recipe.run("enable --now", env=shop.env, instead=lambda line: None if line.startswith("systemctl") else line)
    shop.serve()
    wait_for(lambda: (nginx.folder / "nginx.pid").exists(), "nginx")

    pages = ["nginx ann", "nginx bob"]
    visit(browser, shop, {"nginx ann": "ann", "nginx bob": "bob"})
    order(browser, "a kettle", by="nginx ann", seen_by=pages)

    # nginx holds both ends of each socket, gunicorn none.
    assert shop.server
    through = [pair for pair in connections(family(nginx.pid())) if pair[1] == inner]
    assert len(through) == len(pages), through
    workers = family(int(gunicorn.read_text()))
    assert {other for _, other in connections(workers)} <= {redis.port}
    figures(
        "nginx + gunicorn, two idle pages",
        [*family(nginx.pid()), *workers, shop.server.pid, redis.process.pid],
    )

    # A new gunicorn answers; the pages kept their sockets. With --preload a reload needs a new master.
    master = int(gunicorn.read_text())
    os.kill(master, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{master}").exists(), "the end of gunicorn")
    recipe.run("gunicorn shop.wsgi", env=shop.env, instead=lambda line: line if line.startswith(("cd", "venv/bin/gunicorn")) else None)
    wait_for(gunicorn.exists, "gunicorn")
    (shop.site / "data/gunicorn.sock").chmod(0o777)
    order(browser, "a cup", by="nginx bob", seen_by=pages)
    for one in pages:
        assert browser.evaluate(one, "window.connects") == 1
        assert browser.evaluate(one, "window.seen") == ["a kettle", "a cup"]
