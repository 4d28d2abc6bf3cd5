"""The list of applications, who comes in, and what the server is told."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from io import StringIO
from unittest.mock import patch

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase, TestCase

from demo import link
from demo import settings as project
from demo.views import APPLICATIONS


class HomeTests(TestCase):
    """`/`."""

    def test_all_are_listed_and_those_that_are_here_are_linked(self) -> None:
        page = self.client.get("/")
        for one in APPLICATIONS:
            self.assertContains(page, one.title)
            self.assertContains(page, f'href="/{one.name}/"', count=int(one.is_here))
            self.assertContains(page, f'<symbol id="{one.name}"', count=1)
        self.assertTrue(APPLICATIONS[0].is_here)

    def test_signing_up_logs_in(self) -> None:
        form = {"username": "dora", "password1": "patch-cord-7", "password2": "patch-cord-7"}
        self.assertRedirects(self.client.post("/signup/", form), "/")
        self.assertContains(self.client.get("/"), "dora")

    def test_demo_users_can_be_made_twice(self) -> None:
        for _ in range(2):
            call_command("demo_users", stdout=StringIO())
        self.assertTrue(self.client.login(username="cy", password="jackfield"))
        self.assertEqual(get_user_model()._default_manager.count(), 3)


class ServerTests(SimpleTestCase):
    """jackfield.toml, and which queue."""

    def test_the_file_of_the_server_says_what_the_classes_say(self) -> None:
        said = StringIO()
        hosts = ["localhost", "127.0.0.1", "[::1]"]
        with self.settings(ALLOWED_HOSTS=hosts, JACKFIELD=project.JACKFIELD):
            file = str(settings.BASE_DIR / "jackfield.toml")
            with suppress(CommandError):
                call_command("jackfield", "config", "--check", file, stdout=said)
        self.assertEqual(said.getvalue(), f"{file} is what the project needs.\n")

    def test_a_queue_is_known_by_its_url(self) -> None:
        urls = ("redis://h", "rediss://h", "amqp://h", "amqps://h", "nats://h", "redis")
        kinds = [link.driver_of(url) for url in urls]
        self.assertEqual(kinds, ["redis", "redis", "rabbitmq", "rabbitmq", None, None])


class ServerInfoTests(TestCase):
    """`/server-info/`, both ways."""

    def test_it_tells_the_machine(self) -> None:
        with (
            patch.object(socket, "gethostname", return_value="box"),
            patch.object(socket, "gethostbyname", return_value="192.0.2.7"),
        ):
            answer = self.client.get("/server-info/")
        self.assertEqual(answer.json(), {"hostname": "box", "ip_address": "192.0.2.7"})
        self.assertEqual(answer.status_code, 200)

    def test_it_tells_that_the_resolver_fails(self) -> None:
        fault = socket.gaierror(-2, "Name or service not known")
        with (
            patch.object(socket, "gethostbyname", side_effect=fault),
            self.assertLogs("django.request", "ERROR"),
        ):
            answer = self.client.get("/server-info/")
        self.assertEqual(answer.status_code, 500)
        self.assertEqual(list(answer.json()), ["error"])
        self.assertIn("Name or service not known", answer.json()["error"])

    def test_the_real_resolver(self) -> None:
        answer = self.client.get("/server-info/")
        wanted = {200: {"hostname", "ip_address"}, 500: {"error"}}
        self.assertEqual(set(answer.json()), wanted[answer.status_code])


class DocsTests(SimpleTestCase):
    """docs/demo-*.md, and the pictures of the README."""

    def test_the_readme_shows_all_of_them(self) -> None:
        top = settings.BASE_DIR.parent
        readme = (top / "README.md").read_text()
        pictures = [top / f"docs/pictures/{one.name}.jpg" for one in APPLICATIONS if one.is_here]
        for picture in pictures:
            page = f"docs/demo-{picture.stem}.md"
            self.assertIn(f"](docs/pictures/{picture.name})]({page})", readme)
            self.assertTrue((top / page).exists(), page)
        self.assertLess(sum(picture.stat().st_size for picture in pictures), 1_000_000)

    def test_what_the_pages_show_is_what_runs(self) -> None:
        pages = sorted((settings.BASE_DIR.parent / "docs").glob("demo-*.md"))
        self.assertEqual(
            [page.stem.partition("-")[2] for page in pages],
            sorted(one.name for one in APPLICATIONS if one.is_here),
        )
        for page in pages:
            blocks = re.findall(
                r"```(?:python|js)\n(?:#|//) (\S+)\n\n(.*?)```", page.read_text(), re.S
            )
            self.assertGreater(len(blocks), 3, page)
            for file, block in blocks:
                with self.subTest(page=page.name, file=file, block=block[:60]):
                    self.assertIn(block.strip("\n"), (settings.BASE_DIR / file).read_text())
