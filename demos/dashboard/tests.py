"""Who is told of an order, the last hour of them, and customers."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import TestCase
from django.utils import timezone
from django_jackfield.test import RealtimeTestMixin, SubscribeDenied

from dashboard.models import Order


class BoardCase(RealtimeTestMixin, TestCase):
    """Ann watches."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.ann = get_user_model()._default_manager.create_user("ann")

    def setUp(self) -> None:
        super().setUp()
        self.client.force_login(self.ann)

    def orders(self, query: str = "") -> list[dict[str, Any]]:
        """What the page is told over HTTP."""
        return self.client.get(f"/dashboard/orders/{query}").json()["orders"]


class ToldTests(BoardCase):
    """The model tells of itself."""

    def test_an_order_is_told_to_its_region_and_to_the_shop(self) -> None:
        ann = self.jackfield_client(self.ann)
        for region in ("north", "east", "all"):
            ann.subscribe(f"orders:{region}")
        with self.capturePublications():
            order = Order.objects.create(region="north", total=Decimal("12.50"))
            order.advance()
            order.save()
        for region in ("north", "all"):
            heard = ann.received(f"orders:{region}")
            self.assertEqual([one.event for one in heard], ["created", "updated"])
            self.assertEqual([one.data["status"] for one in heard], ["new", "paid"])
            self.assertEqual(heard[0].data["total"], "12.50")
        self.assertEqual(ann.received("orders:east"), [])

    def test_what_is_told_and_what_is_asked_are_the_same(self) -> None:
        with self.capturePublications():
            Order.objects.create(region="west", total=Decimal("7.00"))
        [command] = self.assertPublished("orders:all", "created", count=1)
        told = json.loads(json.dumps(command.data["data"]))
        self.assertEqual(self.orders(), [told])

    def test_what_is_rolled_back_is_not_told(self) -> None:
        with self.capturePublications(), transaction.atomic():
            Order.objects.create(region="north", total=1)
            transaction.set_rollback(True)
        self.assertNotPublished("orders:all")

    def test_only_users_watch(self) -> None:
        with self.assertRaises(SubscribeDenied):
            self.jackfield_client(None).subscribe("orders:all")
        self.client.logout()
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(self.client.get("/dashboard/orders/").status_code, 403)
            self.assertEqual(self.client.post("/dashboard/orders/").status_code, 403)
        self.assertRedirects(self.client.get("/dashboard/"), "/login/?next=/dashboard/")


class HourTests(BoardCase):
    """`/dashboard/orders/`."""

    def test_the_last_hour_and_what_has_changed_since(self) -> None:
        old, new, late = (Order.objects.create(region="north", total=n) for n in (1, 2, 3))
        now = timezone.now()
        Order.objects.filter(pk=old.pk).update(at=now - timedelta(hours=2))
        Order.objects.filter(pk=new.pk).update(updated=now - timedelta(minutes=5))
        self.assertEqual([one["id"] for one in self.orders()], [new.pk, late.pk])
        [found] = self.orders(f"?since={now.isoformat().replace('+00:00', 'Z')}")
        self.assertEqual(found["id"], late.pk)
        for nonsense in ("", "x", "2026-99-99T00:00Z", "2026-01-01T00:00"):
            self.assertEqual(len(self.orders(f"?since={nonsense}")), 2, nonsense)

    def test_a_customer_makes_an_order_and_two_go_a_step(self) -> None:
        with self.capturePublications():
            for _ in range(3):
                self.assertEqual(self.client.post("/dashboard/orders/").status_code, 201)
        self.assertEqual(Order.objects.count(), 3)
        self.assertPublished("orders:all", "created", count=3)
        self.assertPublished("orders:all", "updated", count=5)  # at first there was but one

    def test_what_is_shipped_stays_so(self) -> None:
        order = Order.random()
        for _ in range(4):
            order.advance()
        self.assertEqual(order.status, "shipped")

    def test_the_shop_begins_with_an_hour_of_orders(self) -> None:
        for _ in range(2):
            apps.get_app_config("dashboard").seed([])
        self.assertGreater(len(self.orders()), 200)
        self.assertEqual(set(Order.objects.values_list("status", flat=True)), {*Order.Status})

    def test_the_page_names_the_channels(self) -> None:
        page = self.client.get("/dashboard/")
        self.assertEqual(page.context["script"]["channels"]["north"], "orders:north")
        self.assertContains(page, '<option value="west">West</option>', html=True)
