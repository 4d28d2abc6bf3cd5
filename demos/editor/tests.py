"""The pages, the rights on open sockets, and the rows that make a document and its past."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.test import TestCase
from django.urls import reverse
from django.utils import timezone
from django_jackfield.test import (
    CallError,
    JackfieldClient,
    RealtimeTestMixin,
    SubscribeDenied,
    load_document,
    save_document,
)

from editor.models import MOMENTS, Document, Share, Update


class EditorCase(RealtimeTestMixin, TestCase):
    """Ann owns the minutes, Bob may write, Cy may read, Dora has no business with them."""

    @classmethod
    def setUpTestData(cls) -> None:
        users = get_user_model()._default_manager
        names = ("ann", "bob", "cy", "dora")
        cls.ann, cls.bob, cls.cy, cls.dora = (users.create_user(name) for name in names)
        cls.minutes = Document.objects.create(title="Minutes", owner=cls.ann)
        Share.objects.create(document=cls.minutes, user=cls.bob, right="write")
        Share.objects.create(document=cls.minutes, user=cls.cy, right="read")
        cls.channel = f"doc:{cls.minutes.pk}"

    def inside(self, user: Any) -> JackfieldClient:
        """An open page of a user."""
        client = self.jackfield_client(user)
        client.subscribe(self.channel)
        return client

    def url(self, name: str, *more: Any) -> str:
        """A URL of the minutes."""
        return reverse(f"editor:{name}", args=[self.minutes.pk, *more])

    def share(self, name: str, right: str, by: Any = None) -> Any:
        """What the dialog posts."""
        self.client.force_login(by or self.ann)
        with self.captureOnCommitCallbacks(execute=True):
            return self.client.post(self.url("shares"), {"name": name, "right": right})


class RightsTests(EditorCase):
    """Who comes in, who writes, and what becomes of open pages."""

    def test_who_writes_and_who_reads(self) -> None:
        for user, writes in ((self.ann, True), (self.bob, True), (self.cy, False)):
            self.assertEqual(self.inside(user).may_write(self.channel), writes)
        for outsider in (self.dora, None):
            with self.assertRaises(SubscribeDenied):
                self.inside(outsider)

    def test_who_is_downgraded_writes_no_more_and_is_told(self) -> None:
        ann, bob = self.inside(self.ann), self.inside(self.bob)
        answer = self.share("bob", "read")
        self.assertEqual(answer.json()["people"][1]["right"], "read")
        self.assertFalse(bob.may_write(self.channel))
        self.assertTrue(ann.may_write(self.channel))
        self.assertEqual(bob.left_channels, [])
        for page in (ann, bob):
            [told] = page.received("", "document")
            self.assertEqual(told.data, self.minutes.pk)

    def test_who_is_upgraded_writes(self) -> None:
        cy = self.inside(self.cy)
        self.share("cy", "write")
        self.assertTrue(cy.may_write(self.channel))

    def test_who_is_removed_is_out(self) -> None:
        bob, cy = self.inside(self.bob), self.inside(self.cy)
        self.share("bob", "")
        self.assertEqual(bob.left_channels, [(self.channel, 2103, "permission denied")])
        self.assertEqual(cy.left_channels, [])
        self.assertEqual(len(bob.received("", "document")), 1)
        self.client.force_login(self.bob)
        self.assertEqual(self.client.get(self.url("about")).status_code, 403)
        self.assertEqual(self.client.get(self.minutes.get_absolute_url()).status_code, 404)

    def test_a_document_that_is_deleted_throws_everybody_out(self) -> None:
        pages = [self.inside(user) for user in (self.ann, self.bob, self.cy)]
        save_document(self.channel, b"one")
        self.client.force_login(self.ann)
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post(self.url("about"), {"delete": "1"})
        self.assertRedirects(answer, reverse("editor:home"), fetch_redirect_response=False)
        for page in pages:
            self.assertEqual(page.left_channels, [(self.channel, 2103, "permission denied")])
        self.assertFalse(Update.objects.exists())
        for work in (lambda: load_document(self.channel), lambda: save_document(self.channel, b"")):
            with self.assertRaisesMessage(CallError, "no such document"):
                work()

    def test_only_the_owner_decides(self) -> None:
        for by in (self.bob, self.cy):
            for name, fields in (
                ("shares", {"name": "dora", "right": "write"}),
                ("about", {"title": "Mine"}),
                ("about", {"delete": "1"}),
            ):
                self.client.force_login(by)
                self.assertEqual(self.client.post(self.url(name), fields).status_code, 403)
        self.assertEqual(Document.right_of(self.dora, self.minutes.pk), "")
        self.assertEqual(Document.objects.get().title, "Minutes")

    def test_nobody_shares_with_nobody_or_with_the_owner(self) -> None:
        for name in ("", "nobody", "ann"):
            answer = self.share(name, "read")
            self.assertEqual(answer.status_code, 400)
            self.assertIn("to share it with", answer.json()["error"])
        self.assertEqual(Share.objects.count(), 2)

    def test_renaming_is_told_to_all(self) -> None:
        cy = self.inside(self.cy)
        self.client.force_login(self.ann)
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post(self.url("about"), {"title": "Minutes of May"})
        self.assertEqual(answer.json()["title"], "Minutes of May")
        self.assertEqual(len(cy.received("", "document")), 1)
        self.assertEqual(self.client.post(self.url("about"), {"title": " "}).status_code, 400)


class StoreTests(EditorCase):
    """What the server saves and loads."""

    def rows(self, moment: int | None = None) -> list[bytes]:
        """What makes the document, now or at a moment."""
        kept = self.minutes.updates.live() if moment is None else self.minutes.updates.at(moment)
        return sorted(bytes(one.content) for one in kept)

    def test_saves_are_added_and_loaded(self) -> None:
        self.assertEqual(load_document(self.channel).updates, [])
        Document.objects.update(edited=timezone.now() - timedelta(days=1))
        save_document(self.channel, b"a\0")
        save_document(self.channel, b"b")
        self.assertEqual(sorted(load_document(self.channel).updates), [b"a\0", b"b"])
        edited = Document.objects.get().edited
        self.assertLess(timezone.now() - edited, timedelta(minutes=5))

    def test_compaction_replaces_what_was_loaded_and_nothing_else(self) -> None:
        for one in (b"a", b"b"):
            save_document(self.channel, one)
        loaded = load_document(self.channel)
        save_document(self.channel, b"c")
        save_document(self.channel, b"ab", loaded.upto)
        self.assertEqual(self.rows(), [b"ab", b"c"])

    def test_another_document_is_not_touched(self) -> None:
        other = Document.objects.create(title="Other", owner=self.ann)
        save_document(f"doc:{other.pk}", b"theirs")
        theirs = load_document(f"doc:{other.pk}").upto
        save_document(self.channel, b"mine", theirs)
        self.assertEqual(load_document(f"doc:{other.pk}").updates, [b"theirs"])

    def test_every_moment_is_what_it_was(self) -> None:
        seen = {}
        for number in range(12):
            upto = load_document(self.channel).upto if number in (4, 9) else None
            if number == 9:  # saved between the load and the save that replaces
                save_document(self.channel, b"between")
                seen[Update.objects.latest("pk").pk] = self.rows()
            save_document(self.channel, b"%d" % number, upto)
            seen[Update.objects.latest("pk").pk] = self.rows()
        self.assertEqual(seen[max(seen)], [b"10", b"11", b"9", b"between"])
        for moment, rows in seen.items():
            self.assertEqual(self.rows(moment), rows)
        self.assertEqual([one.pk for one in self.minutes.updates.moments()], sorted(seen)[::-1])

    def test_the_past_is_bounded_and_what_is_kept_of_it_is_whole(self) -> None:
        seen = {}
        for number in range(MOMENTS * 2):
            upto = load_document(self.channel).upto if number % 50 == 49 else None
            save_document(self.channel, b"%d" % number, upto)
            seen[Update.objects.latest("pk").pk] = self.rows()
        moments = [one.pk for one in self.minutes.updates.moments()]
        self.assertEqual(len(moments), MOMENTS)
        self.assertLess(Update.objects.count(), MOMENTS + 51)
        for moment in moments:
            self.assertEqual(self.rows(moment), seen[moment])


class PagesTests(EditorCase):
    """HTTP."""

    def test_the_list_has_what_the_user_may_read(self) -> None:
        said = {self.ann: "yours", self.bob: "by ann, you may write", self.cy: "you may read"}
        for user, words in said.items():
            self.client.force_login(user)
            self.assertContains(self.client.get(reverse("editor:home")), words, count=1)
        self.client.force_login(self.dora)
        self.assertContains(self.client.get(reverse("editor:home")), "No document yet")

    def test_who_makes_a_document_owns_it(self) -> None:
        self.client.force_login(self.dora)
        answer = self.client.post(reverse("editor:home"), {"title": "Mine"})
        mine = Document.objects.get(title="Mine")
        self.assertRedirects(answer, mine.get_absolute_url())
        self.assertEqual(Document.right_of(self.dora, mine.pk), "own")

    def test_nobody_is_sent_to_the_login_and_a_program_is_told(self) -> None:
        self.assertRedirects(self.client.get(reverse("editor:home")), "/login/?next=/editor/")
        for name in ("about", "moments"):
            self.assertEqual(self.client.get(self.url(name)).status_code, 403)

    def test_a_moment_is_given_as_updates(self) -> None:
        for one in (b"a", b"b"):
            save_document(self.channel, one)
        self.client.force_login(self.cy)
        moments = self.client.get(self.url("moments")).json()["moments"]
        self.assertEqual([one["id"] for one in moments], sorted(one["id"] for one in moments)[::-1])
        first = self.client.get(self.url("moment", moments[1]["id"])).json()["updates"]
        self.assertEqual([base64.b64decode(one) for one in first], [b"a"])
        self.client.force_login(self.dora)
        self.assertEqual(self.client.get(self.url("moment", moments[1]["id"])).status_code, 403)
