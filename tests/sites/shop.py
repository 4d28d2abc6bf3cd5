"""The shop: a copy of tests/sites/site in a folder of its own, with a venv and the server beside it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from browser import Browser
from processes import memory, name
from recipe import Recipe
from serving import BINARY, free_port, wait_for

HERE = Path(__file__).parent
PASSWORD = "correct horse battery"


class Shop:
    """The site and its server, in the state in which a recipe left them."""

    def __init__(self, place: Path):
        self.place = place
        self.site = place / "srv" / "shop"
        self.etc = place / "etc"
        self.port, self.socket_port, self.internal = free_port(), free_port(), free_port()
        self.home = f"https://localhost:{self.port}"
        self.server: subprocess.Popen[bytes] | None = None
        shutil.copytree(HERE / "site", self.site, ignore=shutil.ignore_patterns("__pycache__"))
        # SQLite writes beside its file, as the user of the site.
        (self.site / "data").mkdir()
        (self.site / "data").chmod(0o777)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("JACKFIELD_", "DJANGO_"))}

    def manage(self, code: str) -> None:
        """Runs a piece of Python in the site."""
        subprocess.run(
            [self.site / "venv/bin/python", "manage.py", "shell", "-c", code],
            cwd=self.site,
            env=self.env,
            check=True,
            timeout=120,
            capture_output=True,
        )

    def add_users(self, *names: str) -> None:
        listed = ", ".join(repr(name) for name in names)
        self.manage(
            "from django.contrib.auth.models import User\n"
            f"for name in ({listed},): User.objects.create_user(name, password={PASSWORD!r})"
        )
        for path in (self.site / "data").iterdir():
            path.chmod(0o666)

    def serve(self) -> None:
        """Starts the server as its unit does: the file, and the secrets as variables."""
        secrets = dict(line.split("=", 1) for line in (self.etc / "jackfield/secrets.env").read_text().split())
        log = (self.place / "jackfield.log").open("ab")
        self.server = subprocess.Popen(
            [
                *(str(BINARY), "serve", "-c", str(self.etc / "jackfield/jackfield.toml")),
                *("--set", f"http_server.internal_port={self.internal}", "--workers", "2"),
            ],
            env=self.env | secrets,
            stdout=log,
            stderr=log,
        )
        log.close()
        wait_for(self._listening, f"a server that listens\n{(self.place / 'jackfield.log').read_text()}")

    def _listening(self) -> bool:
        assert self.server and self.server.poll() is None, (self.place / "jackfield.log").read_text()
        wanted = f":{self.socket_port:04X}"
        return any(
            line.split()[1].endswith(wanted) and line.split()[3] == "0A"
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(table).read_text().splitlines()[1:]
        )

    def end(self) -> None:
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(40)

    def names(self, redis: Any, wheel: Path, page: Any) -> dict[str, str]:
        """What the recipes call things, and what they are here."""
        return {
            "/srv/shop": str(self.site),
            "/etc/jackfield": str(self.etc / "jackfield"),
            "'django-jackfield[redis]'": f"'django-jackfield[redis] @ file://{wheel}'",
            "redis://127.0.0.1:6379/0": redis.admin_url,
            "https://example.com": self.home,
            "jackfield check": f"{BINARY} check",
            "/etc/ssl/certs/example.com.pem": str(page.certificate),
            "/etc/ssl/private/example.com.key": str(page.key),
        }


def visit(browser: Browser, shop: Shop, pages: dict[str, str]) -> None:
    """Logs visitors in and waits until their boards hear orders; `pages` are names of pages and of users."""
    for page, user in pages.items():
        opened = browser.open(page, f"{shop.home}/")
        assert opened["status"] == 200, opened
        assert opened["issuer"] == "Test Authority"
        assert browser.login(page, user, PASSWORD) == f"{shop.home}/"
        browser.wait(page, "window.ready === true")


def order(browser: Browser, what: str, *, by: str, seen_by: list[str]) -> None:
    """An order in one page, which every board shows."""
    browser.order(by, what)
    for page in seen_by:
        browser.wait(page, f"window.seen.includes({what!r})")
    browser.wait(by, "window.answered === 200")


def figures(title: str, pids: list[int]) -> None:
    """Prints what each process of a site has in memory while its pages are idle."""
    print(f"\n{title}")
    for pid in pids:
        used = memory(pid)
        print(f"  {used['Rss']:8d} KiB RSS {used['Pss']:8d} KiB PSS  {name(pid)[:90]}")


def settled(recipe: Recipe, shop: Shop) -> None:
    """The part that all recipes share: packages, secrets, Django, the server's file."""
    recipe.run("pip install", env=shop.env, instead=lambda line: None if line.startswith("apt-get") else line)
    recipe.run("openssl rand", env=shop.env, instead=without_group)
    recipe.write("settings.py", append=True)
    said = recipe.run("collectstatic", env=shop.env)
    assert "jackfield." not in said, f"the checks of the package complain:\n{said}"
    shop.add_users("ann", "bob")


def without_group(line: str) -> str:
    """Who is not root cannot give files to www-data, and need not: everything runs as one user then."""
    return line if os.geteuid() == 0 else line.replace("-g www-data ", "")
