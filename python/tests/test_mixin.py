"""The test helpers, used as a project would."""

import pytest
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from django_jackfield import brokers, publish, send
from django_jackfield.test import RealtimeTestMixin


class InTestCase(RealtimeTestMixin, TestCase):
    def test_publications_are_captured_as_if_committed(self):
        with self.capturePublications() as sent:
            with transaction.atomic():
                publish("room:7", {"event": "message", "data": {"text": "hi"}})
            send(user=3, data="x")
            self.assertNotPublished("room:7")
        self.assertEqual(sent[0].data["data"]["text"], "hi")
        self.assertPublished("room:7", "message", data={"text": "hi"}, count=1)
        self.assertPublished("room:7", data={"event": "message", "data": {"text": "hi"}})
        self.assertPublished(user="3", data="x")
        self.assertNotPublished("room:8")
        self.assertNotPublished("room:7", "other")

    def test_the_failure_says_what_waits_for_a_commit(self):
        publish("room:7", 1)
        with pytest.raises(AssertionError, match=r"1 wait for a commit: use capturePublications"):
            self.assertPublished("room:7")

    def test_the_outbox_is_empty_at_the_start(self):
        self.assertEqual(self.outbox, [])
        self.assertIn("LocMem", brokers["default"].config.backend)


class InTransactionTestCase(RealtimeTestMixin, TransactionTestCase):
    def test_commits_are_real(self):
        with self.capturePublications() as sent, transaction.atomic():
            publish("room:7", 1)
        self.assertEqual([one.data for one in sent], [1])


class InSimpleTestCase(RealtimeTestMixin, SimpleTestCase):
    def test_without_a_database(self):
        publish("room:7", 1, on_commit=False)
        self.assertPublished("room:7", data=1, count=1)


def test_the_setting_is_back_afterwards():
    assert "LocMem" not in brokers["default"].config.backend
