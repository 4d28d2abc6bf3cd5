"""The pages, and the handlers without a worker: each is given an event as it comes."""

from __future__ import annotations

import base64
import itertools
import json
import socket
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from unittest.mock import patch

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import TestCase
from django.urls import reverse
from django_jackfield.dispatch import Dispatcher, Outcome
from django_jackfield.event import Event
from django_jackfield.registry import discover
from django_jackfield.test import RealtimeTestMixin

from chat.models import TEXT_LIMIT, LastSeen, Message, Room

NUMBERS = itertools.count(1)


def event(kind: str, user: Any = None, data: Any = None, **fields: Any) -> Event:
    """An event as the server sends it."""
    return Event(
        id=fields.pop("id", f"event-{next(NUMBERS)}"),
        type=kind,
        client="c1",
        user=str(user.pk) if user else "",
        raw=json.dumps(data).encode(),
        **fields,
    )


class ChatCase(RealtimeTestMixin, TestCase):
    """Ann and Bob, a room that only Ann is a member of, and a worker's dispatcher."""

    @classmethod
    def setUpTestData(cls) -> None:
        users = get_user_model()._default_manager
        cls.ann = users.create_user("ann")
        cls.bob = users.create_user("bob")
        cls.room = Room.objects.create(title="Lobby")
        cls.room.members.add(cls.ann)

    def handle(self, event: Event) -> Outcome:
        """What a worker does with an event, with its transaction committed."""
        with self.captureOnCommitCallbacks(execute=True):
            return Dispatcher(discover()).handle(event)

    def say(self, user: Any, data: Any, channel: str = "", **fields: Any) -> Outcome:
        """A client says something in the room."""
        said = {"event": "say", "data": data}
        channel = channel or f"room:{self.room.pk}"
        return self.handle(event("message", user, said, channel=channel, **fields))

    def call(self, user: Any, method: str, data: Any) -> dict[str, Any]:
        """The answer to an rpc."""
        outcome = self.handle(event("rpc", user, data, event=method, call=True))
        return json.loads(outcome.answer)


class SayTests(ChatCase):
    """`@on("say")`."""

    def test_a_message_is_stored_and_the_room_hears_it(self) -> None:
        self.assertEqual(self.say(self.ann, {"text": " hi ", "nonce": "n1"}), Outcome())
        message = Message.objects.get()
        self.assertEqual((message.text, message.author, message.nonce), ("hi", self.ann, "n1"))
        [command] = self.assertPublished(f"room:{self.room.pk}", "message", count=1)
        self.assertEqual(command.data["data"], message.as_dict())

    def test_a_message_that_comes_twice_is_stored_once_and_told_again(self) -> None:
        for attempt in (1, 2):
            self.say(self.ann, {"text": "hi", "nonce": "n1"}, id="same", attempt=attempt)
        self.assertEqual(Message.objects.count(), 1)
        first, second = self.assertPublished(f"room:{self.room.pk}", "message", count=2)
        self.assertEqual(first.data, second.data)

    def test_the_database_refuses_a_second_row(self) -> None:
        row = {"room": self.room, "author": self.ann, "nonce": "n1"}
        Message.objects.create(text="a", **row)
        with self.assertRaises(IntegrityError), transaction.atomic():
            Message.objects.create(text="b", **row)
        Message.objects.create(room=self.room, author=self.bob, nonce="n1", text="c")

    def test_a_client_without_a_nonce_gets_the_id_of_the_event(self) -> None:
        for _ in range(2):
            self.say(self.ann, "plain text", id="e1")
        self.assertEqual(Message.objects.get().nonce, "e1")

    def test_only_members_speak(self) -> None:
        self.say(self.bob, {"text": "hi", "nonce": "n1"})
        self.assertFalse(Message.objects.exists())
        self.assertNotPublished(f"room:{self.room.pk}")
        [refusal] = self.assertPublished(user=str(self.bob.pk), event="refused", count=1)
        self.assertEqual(refusal.data["data"]["nonce"], "n1")
        self.assertIn("Join", refusal.data["data"]["fault"])

    def test_what_cannot_be_a_message_is_refused(self) -> None:
        for text in ("", "   ", "x" * (TEXT_LIMIT + 1), None, 7, ["hi"], "\0"):
            with self.subTest(text=text):
                self.assertEqual(self.say(self.ann, {"text": text}), Outcome())
        self.assertFalse(Message.objects.exists())
        self.assertPublished(user=str(self.ann.pk), event="refused", count=7)

    def test_the_longest_message_fits(self) -> None:
        self.say(self.ann, {"text": "x" * TEXT_LIMIT})
        self.assertEqual(len(Message.objects.get().text), TEXT_LIMIT)

    def test_half_a_surrogate_pair_is_stored_as_a_question_mark(self) -> None:
        self.say(self.ann, {"text": "a\ud800b", "nonce": "\udfff"})
        message = Message.objects.get()
        self.assertEqual((message.text, message.nonce), ("a?b", "?"))

    def test_rooms_that_do_not_exist_have_no_members(self) -> None:
        for pk in ("999", "9" * 30):
            self.assertEqual(self.say(self.ann, {"text": "hi"}, channel=f"room:{pk}"), Outcome())
        self.assertPublished(user=str(self.ann.pk), event="refused", count=2)

    def test_anonymous_sockets_are_not_heard(self) -> None:
        self.assertEqual(self.say(None, {"text": "hi"}), Outcome())
        self.assertEqual(self.outbox, [])


class RenameTests(ChatCase):
    """`@rpc("rooms.rename")`."""

    def test_a_member_renames(self) -> None:
        answer = self.call(self.ann, "rooms.rename", {"pk": self.room.pk, "title": " Attic "})
        self.assertEqual(answer["result"], {"data": {"title": "Attic"}})
        self.room.refresh_from_db()
        self.assertEqual(self.room.title, "Attic")
        told = {"title": "Attic", "by": "ann"}
        self.assertPublished(f"room:{self.room.pk}", "renamed", data=told, count=1)

    def test_who_is_no_member_does_not(self) -> None:
        answer = self.call(self.bob, "rooms.rename", {"pk": self.room.pk, "title": "Attic"})
        self.assertEqual(answer["error"]["code"], 403)
        self.assertNotPublished(f"room:{self.room.pk}")

    def test_a_title_is_asked_for(self) -> None:
        for title in ("", " ", "x" * 81, 7):
            answer = self.call(self.ann, "rooms.rename", {"pk": self.room.pk, "title": title})
            self.assertEqual(answer["error"]["code"], 400, title)


class LastSeenTests(ChatCase):
    """`@connected` and `@disconnected`."""

    def test_coming_and_going_is_noted_and_time_never_goes_back(self) -> None:
        for kind, second in (("connect", 100), ("disconnect", 300), ("connect", 200)):
            gone = {"code": 3000, "reason": ""}
            outcome = self.handle(event(kind, self.ann, gone, time=second * 1000))
            self.assertEqual(outcome, Outcome())
        self.assertEqual(LastSeen.objects.get().at, datetime.fromtimestamp(300, UTC))

    def test_nobody_and_users_that_are_gone_leave_no_trace(self) -> None:
        self.assertEqual(self.handle(event("connect", None, time=1)), Outcome())
        ghost = get_user_model()(pk=999)
        self.assertEqual(self.handle(event("connect", ghost, time=1)), Outcome())
        self.assertFalse(LastSeen.objects.exists())


class PageTests(ChatCase):
    """The views."""

    def setUp(self) -> None:
        super().setUp()
        self.client.force_login(self.ann)

    def write(self, count: int) -> None:
        """Messages of Bob."""
        Message.objects.bulk_create(
            Message(room=self.room, author=self.bob, text=f"<b>{n}</b>", nonce=str(n))
            for n in range(count)
        )

    def test_every_page_asks_who_one_is(self) -> None:
        self.client.logout()
        for name, args in (("rooms", []), ("room", [self.room.pk])):
            url = reverse(name, args=args)
            self.assertRedirects(self.client.get(url), f"/login/?next={url}")
        with self.assertLogs("django.request", "WARNING"):
            for url in (f"/rooms/{self.room.pk}/messages/", "/jackfield/token/"):
                self.assertEqual(self.client.get(url).status_code, 403)

    def test_the_list_tells_what_was_said_last(self) -> None:
        self.write(1)
        page = self.client.get("/")
        self.assertContains(page, "Lobby")
        self.assertContains(page, "bob: &lt;b&gt;0&lt;/b&gt;")

    def test_a_new_room_has_its_maker_as_member(self) -> None:
        self.assertRedirects(self.client.post("/", {"title": "Attic"}), "/rooms/2/")
        self.assertEqual(list(Room.objects.get(title="Attic").members.all()), [self.ann])

    def test_joining(self) -> None:
        self.client.force_login(self.bob)
        url = f"/rooms/{self.room.pk}/"
        self.assertContains(self.client.get(url), "Members can speak")
        for _ in range(2):
            self.assertRedirects(self.client.post(f"{url}join/"), url)
        self.assertContains(self.client.get(url), 'id="composer"')
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(self.client.get(f"{url}join/").status_code, 405)

    def test_the_room_holds_the_newest_messages_and_nothing_a_browser_would_run(self) -> None:
        self.write(60)
        page = self.client.get(f"/rooms/{self.room.pk}/")
        texts = [one["text"] for one in page.context["script"]["messages"]]
        self.assertEqual(texts, [f"<b>{n}</b>" for n in range(10, 60)])
        self.assertTrue(page.context["script"]["more"])
        self.assertNotContains(page, "<b>59</b>")

    def test_what_was_missed_and_what_came_earlier(self) -> None:
        self.write(60)
        ids = list(Message.objects.values_list("pk", flat=True))
        url = f"/rooms/{self.room.pk}/messages/"

        def told(query: str) -> tuple[list[int], bool]:
            answer = self.client.get(url + query).json()
            return [one["id"] for one in answer["messages"]], answer["more"]

        self.assertEqual(told(f"?after={ids[-3]}"), (ids[-2:], False))
        self.assertEqual(told("?after=0"), (ids[:50], True))
        self.assertEqual(told(f"?before={ids[10]}"), (ids[:10], False))
        self.assertEqual(told(""), (ids[10:], True))
        self.assertEqual(told("?after=" + "9" * 40), (ids[10:], True))

    def test_the_page_opens_its_socket_on_its_own_host(self) -> None:
        with self.settings(ALLOWED_HOSTS=["chat.test"]):
            page = self.client.get(f"/rooms/{self.room.pk}/", headers={"host": "chat.test:8000"})
        url = "ws://chat.test:8400/connection/websocket"
        self.assertEqual(page.context["script"]["socketUrl"], url)

    def test_the_token_says_who_one_is(self) -> None:
        token = self.client.get("/jackfield/token/").json()["token"]
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        self.assertEqual(claims["sub"], str(self.ann.pk))
        self.assertEqual(claims["info"], {"name": "ann"})

    def test_signing_up_logs_in(self) -> None:
        self.client.logout()
        form = {"username": "dora", "password1": "patch-cord-7", "password2": "patch-cord-7"}
        self.assertRedirects(self.client.post("/signup/", form), "/")
        self.assertContains(self.client.get("/"), "dora")

    def test_demo_users_can_be_made_twice(self) -> None:
        for _ in range(2):
            call_command("demo_users", stdout=StringIO())
        self.assertTrue(self.client.login(username="cy", password="jackfield"))
        self.assertEqual(get_user_model()._default_manager.count(), 3)


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
