"""The pages, and the handlers without a server: fake browsers speak to the worker's own code."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.test import TestCase
from django.urls import reverse
from django_jackfield.dispatch import Dispatcher, Outcome
from django_jackfield.event import Event
from django_jackfield.registry import discover
from django_jackfield.test import CallError, JackfieldClient, RealtimeTestMixin, SubscribeDenied

from chat.models import TEXT_LIMIT, LastSeen, Membership, Message, Notice, Room

NUMBERS = itertools.count(1)
State = Membership.State


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
    """Ann looks after the lobby, Bob is in it, Cy is not."""

    @classmethod
    def setUpTestData(cls) -> None:
        users = get_user_model()._default_manager
        cls.ann, cls.bob, cls.cy = (users.create_user(name) for name in ("ann", "bob", "cy"))
        cls.room = Room.objects.create(title="Lobby")
        Membership.objects.create(room=cls.room, user=cls.ann, is_moderator=True)
        Membership.objects.create(room=cls.room, user=cls.bob)
        cls.channel = f"room:{cls.room.pk}"

    def handle(self, event: Event) -> Outcome:
        """What a worker does with an event, with its transaction committed."""
        with self.captureOnCommitCallbacks(execute=True):
            return Dispatcher(discover()).handle(event)

    def say(self, user: Any, data: Any, channel: str = "", **fields: Any) -> Outcome:
        """A client says something in the room."""
        said = {"event": "say", "data": data}
        return self.handle(event("message", user, said, channel=channel or self.channel, **fields))

    def inside(self, user: Any) -> JackfieldClient:
        """A page of the room."""
        client = self.jackfield_client(user)
        client.subscribe(self.channel)
        return client

    def write(self, count: int, author: Any = None) -> list[Message]:
        """Messages, of Bob unless another is named."""
        return [
            Message.objects.create(
                room=self.room,
                author=author or self.bob,
                text=f"<b>{n}</b>",
                nonce=str(n),
                version=Room.next_version(self.room.pk),
            )
            for n in range(count)
        ]

    def state(self, user: Any) -> str:
        """What a user is in the room."""
        return Membership.objects.get(room=self.room, user=user).state


class SayTests(ChatCase):
    """`@on("say")`."""

    def test_a_message_is_stored_and_the_room_hears_it(self) -> None:
        bob = self.inside(self.bob)
        self.inside(self.ann).send(self.channel, {"text": " hi ", "nonce": "n1"}, event="say")
        message = Message.objects.get()
        self.assertEqual((message.text, message.author, message.nonce), ("hi", self.ann, "n1"))
        [heard] = bob.received(self.channel)
        self.assertEqual((heard.event, heard.data), ("message", message.as_dict()))

    def test_a_message_that_comes_twice_is_stored_once_and_told_again(self) -> None:
        for attempt in (1, 2):
            self.say(self.ann, {"text": "hi @bob", "nonce": "n1"}, id="same", attempt=attempt)
        self.assertEqual(Message.objects.count(), 1)
        first, second = self.assertPublished(self.channel, "message", count=2)
        self.assertEqual(first.data, second.data)
        self.assertPublished(user=str(self.bob.pk), event="mention", count=1)

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

    def test_only_members_come_in_and_speak(self) -> None:
        with self.assertRaises(SubscribeDenied):
            self.inside(self.cy)
        with self.assertRaises(SubscribeDenied):
            self.jackfield_client(self.cy).subscribe(f"typing:{self.room.pk}")
        self.say(self.cy, {"text": "hi", "nonce": "n1"})
        self.assertFalse(Message.objects.exists())
        self.assertNotPublished(self.channel)
        [refusal] = self.assertPublished(user=str(self.cy.pk), event="refused", count=1)
        self.assertEqual(refusal.data["data"]["nonce"], "n1")
        self.assertIn("not in this room", refusal.data["data"]["fault"])

    def test_what_cannot_be_a_message_is_refused(self) -> None:
        for text in ("", "   ", "x" * (TEXT_LIMIT + 1), None, 7, ["hi"], "\0"):
            with self.subTest(text=text):
                self.assertEqual(self.say(self.ann, {"text": text}), Outcome())
        self.assertFalse(Message.objects.exists())
        self.assertPublished(user=str(self.ann.pk), event="refused", count=7)

    def test_files_are_refused_and_told_what_to_do(self) -> None:
        for data in ({"file": "AAAA", "text": "photo.png"}, {"text": {"name": "photo.png"}}):
            self.say(self.ann, data)
        for refusal in self.assertPublished(user=str(self.ann.pk), event="refused", count=2):
            self.assertIn("a link to the file", refusal.data["data"]["fault"])
        self.assertFalse(Message.objects.exists())

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


class ChangeTests(ChatCase):
    """`messages.edit`, `messages.delete`, and what a page has missed."""

    def test_the_author_edits_and_the_room_hears_a_newer_version(self) -> None:
        [message] = self.write(1)
        bob, ann = self.inside(self.bob), self.inside(self.ann)
        bob.call("messages.edit", pk=message.pk, text=" better ")
        [heard] = ann.received(self.channel)
        self.assertEqual((heard.data["text"], heard.data["edited"]), ("better", True))
        self.assertEqual((message.version, heard.data["version"]), (1, 2))

    def test_nobody_edits_what_another_said(self) -> None:
        [message] = self.write(1)
        for user, code in ((self.ann, 403), (self.cy, 404)):
            with self.assertRaises(CallError) as refused:
                self.jackfield_client(user).call("messages.edit", pk=message.pk, text="mine now")
            self.assertEqual(refused.exception.code, code)
        self.assertNotPublished(self.channel)

    def test_an_edit_is_checked_as_a_message_is(self) -> None:
        [message] = self.write(1)
        for text in ("", "x" * (TEXT_LIMIT + 1), ["hi"]):
            with self.assertRaises(CallError) as refused:
                self.jackfield_client(self.bob).call("messages.edit", pk=message.pk, text=text)
            self.assertEqual(refused.exception.code, 400)

    def test_the_author_and_a_moderator_delete(self) -> None:
        first, second = self.write(2)
        self.jackfield_client(self.bob).call("messages.delete", pk=first.pk)
        self.jackfield_client(self.ann).call("messages.delete", pk=second.pk)
        for command in self.assertPublished(self.channel, "message", count=2):
            self.assertEqual(command.data["data"]["text"], "")
            self.assertTrue(command.data["data"]["deleted"])
        self.assertEqual(set(Message.objects.values_list("text", flat=True)), {""})
        with self.assertRaises(CallError):
            self.jackfield_client(self.bob).call("messages.edit", pk=first.pk, text="again")

    def test_others_do_not_delete(self) -> None:
        [message] = self.write(1, self.ann)
        for user, code in ((self.bob, 403), (self.cy, 404), (None, 404)):
            with self.assertRaises(CallError) as refused:
                self.jackfield_client(user).call("messages.delete", pk=message.pk)
            self.assertEqual(refused.exception.code, code)
        self.assertFalse(Message.objects.get().is_deleted)

    def test_an_edit_is_missed_as_little_as_a_message(self) -> None:
        old, *_ = self.write(3)
        self.client.force_login(self.ann)
        self.jackfield_client(self.bob).call("messages.edit", pk=old.pk, text="new")
        answer = self.client.get(f"/chat/rooms/{self.room.pk}/messages/?after=3").json()
        self.assertEqual([one["text"] for one in answer["messages"]], ["new"])
        self.assertEqual((answer["version"], answer["title"]), (4, "Lobby"))


class ReadTests(ChatCase):
    """`@on("read")`."""

    def test_the_mark_is_told_and_never_goes_back(self) -> None:
        bob, ann = self.inside(self.bob), self.inside(self.ann)
        for read in (5, 3, 5, 10**30, None, ["x"]):
            bob.send(self.channel, read, event="read")
        heard = [one.data for one in ann.received(self.channel, "read")]
        self.assertEqual(heard, [{"id": str(self.bob.pk), "read": 5}])
        self.assertEqual(Membership.objects.get(user=self.bob).read, 5)


class MentionTests(ChatCase):
    """`@name`, for who is there and for who is not."""

    def test_members_are_told_and_nobody_else(self) -> None:
        self.say(self.ann, {"text": "@bob @bob, @ann @cy mail@bob x@bob"})
        [command] = self.assertPublished(event="mention", count=1)
        self.assertEqual(command.fields["user"], str(self.bob.pk))
        self.assertEqual(command.data["data"]["title"], "Lobby")

    def test_what_found_nobody_waits_for_the_next_visit(self) -> None:
        self.say(self.ann, {"text": "look here @bob"})
        [command] = self.assertPublished(event="mention", count=1)
        for _ in range(2):  # notices may come twice
            self.handle(event("undelivered", self.bob, command.data, event="c1"))
        self.assertEqual(Notice.objects.get().message.text, "look here @bob")
        self.client.force_login(self.bob)
        self.assertContains(self.client.get("/chat/"), "look here @bob", count=2)  # and as the last
        self.client.get(f"/chat/rooms/{self.room.pk}/")
        self.assertFalse(Notice.objects.exists())

    def test_notices_can_be_thrown_away(self) -> None:
        [message] = self.write(1)
        for user in (self.ann, self.bob):
            Notice.objects.create(user=user, message=message)
        self.client.force_login(self.ann)
        self.assertRedirects(self.client.post("/chat/notices/"), "/chat/")
        self.assertEqual(Notice.objects.get().user, self.bob)

    def test_other_things_that_found_nobody_are_let_go(self) -> None:
        self.handle(event("undelivered", self.bob, {"event": "refused", "data": {}}, event="c1"))
        self.assertFalse(Notice.objects.exists())


class ModerationTests(ChatCase):
    """`rooms.moderate`."""

    def moderate(self, state: str, user: Any = None, by: Any = None) -> None:
        """Ann moderates Bob, unless others are named."""
        client = self.jackfield_client(by or self.ann)
        client.call("rooms.moderate", pk=self.room.pk, user=str((user or self.bob).pk), state=state)

    def test_who_is_removed_is_out_at_once_and_stays_out(self) -> None:
        bob, ann = self.inside(self.bob), self.inside(self.ann)
        bob.subscribe(f"typing:{self.room.pk}")
        self.moderate("removed")
        self.assertFalse(bob.channels)
        self.assertEqual([one.data["state"] for one in ann.received(event="member")], ["removed"])
        with self.assertRaises(SubscribeDenied):
            bob.subscribe(self.channel)
        self.client.force_login(self.bob)
        self.client.post(f"/chat/rooms/{self.room.pk}/join/")
        self.assertEqual(self.state(self.bob), State.REMOVED)
        self.assertContains(self.client.get(f"/chat/rooms/{self.room.pk}/"), "has removed you")

    def test_who_is_let_back_in_comes_in(self) -> None:
        self.moderate("removed")
        self.moderate("member")
        self.inside(self.bob)

    def test_who_is_muted_hears_and_does_not_speak(self) -> None:
        [message] = self.write(1)
        bob = self.inside(self.bob)
        self.moderate("muted")
        bob.send(self.channel, {"text": "hi"}, event="say")
        [refusal] = bob.received(event="refused")
        self.assertIn("muted", refusal.data["fault"])
        with self.assertRaises(CallError):
            bob.call("messages.edit", pk=message.pk, text="by the back door")
        self.moderate("member")
        bob.send(self.channel, {"text": "hi"}, event="say")
        self.assertEqual(Message.objects.count(), 2)

    def test_only_moderators_moderate_and_nobody_moderates_them(self) -> None:
        for user, by, state, code in (
            (self.ann, self.bob, "removed", 403),
            (self.bob, self.cy, "removed", 403),
            (self.ann, self.ann, "removed", 400),
            (self.cy, self.ann, "muted", 400),
            (self.bob, self.ann, "king", 400),
        ):
            with self.assertRaises(CallError) as refused:
                self.moderate(state, user, by)
            self.assertEqual(refused.exception.code, code)
        self.assertEqual({self.state(self.ann), self.state(self.bob)}, {State.MEMBER})


class RenameTests(ChatCase):
    """`@rpc("rooms.rename")`."""

    def rename(self, user: Any, title: Any) -> Any:
        """The answer to the call."""
        return self.jackfield_client(user).call("rooms.rename", pk=self.room.pk, title=title)

    def test_a_member_renames(self) -> None:
        self.assertEqual(self.rename(self.bob, " Attic "), {"title": "Attic"})
        self.room.refresh_from_db()
        self.assertEqual(self.room.title, "Attic")
        told = {"title": "Attic", "by": "bob"}
        self.assertPublished(self.channel, "renamed", data=told, count=1)

    def test_who_is_no_member_does_not(self) -> None:
        with self.assertRaises(CallError) as refused:
            self.rename(self.cy, "Attic")
        self.assertEqual(refused.exception.code, 403)
        self.assertNotPublished(self.channel)

    def test_a_title_is_asked_for(self) -> None:
        for title in ("", " ", "x" * 81, 7):
            with self.assertRaises(CallError) as refused:
                self.rename(self.ann, title)
            self.assertEqual(refused.exception.code, 400, title)


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

    def test_every_page_asks_who_one_is(self) -> None:
        self.client.logout()
        for name, args in (("chat:home", []), ("chat:room", [self.room.pk])):
            url = reverse(name, args=args)
            self.assertRedirects(self.client.get(url), f"/login/?next={url}")
        with self.assertLogs("django.request", "WARNING"):
            for url in (f"/chat/rooms/{self.room.pk}/messages/", "/jackfield/token/"):
                self.assertEqual(self.client.get(url).status_code, 403)

    def test_the_list_tells_what_was_said_last_and_how_much_is_new(self) -> None:
        first, *_ = self.write(3)
        Membership.objects.filter(user=self.ann).update(read=first.pk)
        page = self.client.get("/chat/")
        self.assertContains(page, "Lobby")
        self.assertContains(page, "bob: &lt;b&gt;2&lt;/b&gt;")
        self.assertContains(page, "2 new")
        self.client.force_login(self.bob)
        self.assertContains(self.client.get("/chat/"), "2 members")  # one's own are not new

    def test_the_list_shows_nothing_of_rooms_that_one_is_not_in(self) -> None:
        self.write(1)
        self.client.force_login(self.cy)
        page = self.client.get("/chat/")
        self.assertContains(page, "You are not in this room")
        self.assertNotContains(page, "&lt;b&gt;")

    def test_a_new_room_has_its_maker_as_moderator(self) -> None:
        self.assertRedirects(self.client.post("/chat/", {"title": "Attic"}), "/chat/rooms/2/")
        member = Membership.objects.get(room__title="Attic")
        self.assertEqual((member.user, member.is_moderator), (self.ann, True))

    def test_joining(self) -> None:
        self.client.force_login(self.cy)
        url = f"/chat/rooms/{self.room.pk}/"
        self.assertContains(self.client.get(url), "You are not one yet")
        with self.captureOnCommitCallbacks(execute=True):
            for _ in range(2):
                self.assertRedirects(self.client.post(f"{url}join/"), url)
        self.assertContains(self.client.get(url), 'id="composer"')
        self.assertPublished(self.channel, "member", count=1)
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(self.client.get(f"{url}join/").status_code, 405)

    def test_the_room_holds_the_newest_messages_and_nothing_a_browser_would_run(self) -> None:
        self.write(60)
        page = self.client.get(f"/chat/rooms/{self.room.pk}/")
        script = page.context["script"]
        texts = [one["text"] for one in script["messages"]]
        self.assertEqual(texts, [f"<b>{n}</b>" for n in range(10, 60)])
        self.assertEqual((script["more"], script["version"]), (True, 60))
        self.assertEqual([one["name"] for one in script["members"]], ["ann", "bob"])
        self.assertNotContains(page, "<b>59</b>")

    def test_what_was_missed_and_what_came_earlier(self) -> None:
        ids = [one.pk for one in self.write(60)]
        url = f"/chat/rooms/{self.room.pk}/messages/"

        def told(query: str) -> tuple[list[int], bool]:
            answer = self.client.get(url + query).json()
            return [one["id"] for one in answer["messages"]], answer["more"]

        self.assertEqual(told("?after=58"), (ids[-2:], False))
        self.assertEqual(told("?after=0"), (ids[:50], True))
        self.assertEqual(told(f"?before={ids[10]}"), (ids[:10], False))
        self.assertEqual(told(""), (ids[10:], True))
        self.assertEqual(told("?after=" + "9" * 40), (ids[10:], True))

    def test_only_members_are_told(self) -> None:
        self.client.force_login(self.cy)
        with self.assertLogs("django.request", "WARNING"):
            answer = self.client.get(f"/chat/rooms/{self.room.pk}/messages/")
        self.assertEqual(answer.status_code, 403)
