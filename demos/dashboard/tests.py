"""Who is told of an order, the last hour of them, customers, and figures by server and database."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import skipUnless

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone
from django_jackfield.registry import Registry
from django_jackfield.test import RealtimeTestMixin, SubscribeDenied
from django_jackfield.testing import live

from dashboard import figures
from dashboard.models import Order
from dashboard.realtime import OrdersBoard, Sales


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
        for view in ("shop", "regions"):
            self.assertPublished(f"sales:{view}", "created", count=1)
            self.assertNotPublished(f"sales:{view}", "updated")

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
            self.assertEqual(self.client.get("/dashboard/seconds/").status_code, 403)
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


class SecondsTests(BoardCase):
    """`/dashboard/seconds/`."""

    def setUp(self) -> None:
        super().setUp()
        self.begin = timezone.now().replace(microsecond=0) - timedelta(seconds=20)
        for n in range(1, 21):  # twenty in a second, and one in the next
            self.order("north" if n % 2 else "south", n, 0.02 * n)
        self.newest = self.order("east", 500, 1.5)

    def order(self, region: str, total: int, after: float) -> Order:
        """One that came in so many seconds after the beginning."""
        order = Order.objects.create(region=region, total=total)
        Order.objects.filter(pk=order.pk).update(at=self.begin + timedelta(seconds=after))
        return order

    def seconds(self, **query: Any) -> dict[str, Any]:
        """What the page is told."""
        said: dict[str, Any] = self.client.get("/dashboard/seconds/", query).json()
        return said

    def test_each_second_has_its_figures(self) -> None:
        said = self.seconds()
        one, other = said["shop"]
        begin = int(self.begin.timestamp()) * 1000
        self.assertEqual((one["from"], one["to"]), (begin, begin + 1000))
        self.assertEqual(other["from"], begin + 1000)
        self.assertEqual((one["orders"], one["revenue"], one["p95"]), (20, 210, 19))
        self.assertEqual((other["orders"], other["revenue"], other["p95"]), (1, 500, 500))
        self.assertEqual(one["last"] - one["first"], 19)
        groups = said["regions"][0]["groups"]
        self.assertEqual([*groups], ["north", "south"])
        self.assertEqual((groups["south"]["orders"], groups["south"]["p95"]), (10, 20))
        self.assertEqual([*said["regions"][1]["groups"]], ["east"])

    def test_a_region_and_what_is_older_than_a_minute(self) -> None:
        self.order("south", 7, -60)
        said = self.seconds(region="south", after=0)
        self.assertEqual([one["orders"] for one in said["shop"]], [10])
        self.assertEqual(said["since"], {"orders": 11, "revenue": 117})
        self.assertEqual(len(said["regions"]), 2)

    def test_since_an_order_and_up_to_one(self) -> None:
        said = self.seconds()
        self.assertEqual(said["after"], said["through"])
        self.assertEqual((said["through"], said["since"]["orders"]), (self.newest.pk, 0))
        said = self.seconds(after=self.newest.pk - 3, through=self.newest.pk - 1)
        self.assertEqual(said["since"], {"orders": 2, "revenue": 39})
        self.assertEqual([one["orders"] for one in said["shop"]], [20])
        for nonsense in ("", "x", "-1", "1" * 30, "\u0663"):
            said = self.seconds(after=nonsense, through=nonsense)
            self.assertEqual(said["through"], self.newest.pk, nonsense)

    def test_a_shop_without_orders(self) -> None:
        Order.objects.all().delete()
        said = self.seconds()
        self.assertEqual((said["through"], said["shop"], said["regions"]), (0, [], []))
        order = Order.objects.create(region="west", total=5)
        self.assertEqual(self.seconds(after=0)["since"], {"orders": 1, "revenue": 5})
        self.assertEqual(self.seconds(after=0)["through"], order.pk)


@skipUnless(live.binary(), "JACKFIELD_BIN names no server")
class ServerTests(TransactionTestCase):
    """The real server reckons what the database says."""

    ORDERS = 150

    def test_the_figures_of_each_window_are_those_of_the_database(self) -> None:
        ann = get_user_model()._default_manager.create_user("ann")
        wish = {"every": 100, "figures": figures.WANTED}
        begin = timezone.now().timestamp() * 1000
        shop, regions = Sales.name("shop"), Sales.name("regions")
        # Other applications write down who comes and goes, and SQLite in memory has one writer.
        shop_only = live.LiveServer(registry=Registry(channels=[OrdersBoard, Sales]))
        with shop_only as server, server.connect(ann) as all_, server.connect(ann) as south:
            all_.subscribe(shop, {"aggregate": wish})
            all_.subscribe(regions, {"aggregate": wish | {"by": "data.region"}})
            south.subscribe(shop, {"aggregate": wish | {"where": {"data.region": "south"}}})
            for _ in range(self.ORDERS):
                order = Order.random()
                order.save()
                order.advance()
                order.save()
            of_south = Order.objects.filter(region="south")
            windows = self.heard(all_, shop, self.ORDERS)
            self.assertGreaterEqual(windows[0]["to"], begin)
            self.assertLessEqual(windows[-1]["to"], timezone.now().timestamp() * 1000 + 100)
            self.agree(windows, Order.objects.all())
            self.agree(self.heard(south, shop, of_south.count()), of_south)
            grouped = self.heard(all_, regions, self.ORDERS)
            for region in Order.Region.values:
                groups = [one["groups"][region] for one in grouped if region in one["groups"]]
                self.agree(groups, Order.objects.filter(region=region))
        self.assertGreater(len(windows), 1)

    def heard(self, client: Any, channel: str, orders: int) -> list[dict[str, Any]]:
        """The windows that tell of so many orders."""
        count = 0
        while True:
            count += 1
            heard = [one.data for one in client.wait_for(count, channel)]
            windows = [one for one in heard if one.get("groups", one.get("orders"))]
            if sum(one["orders"] for window in windows for one in parts(window)) >= orders:
                return windows

    def agree(self, windows: list[dict[str, Any]], orders: Any) -> None:
        """Each window is that of its orders, and all of them together are all orders."""
        for window in windows:
            of_it = orders.filter(pk__range=(window["first"], window["last"]))
            told = {name: window[name] for name in figures.WANTED}
            self.assertEqual(told, figures.figures(list(of_it)))
        wanted = figures.sums(orders)
        self.assertEqual(sum(one["orders"] for one in windows), wanted["orders"])
        revenue = sum(Decimal(str(one["revenue"])) for one in windows)
        self.assertEqual(revenue, Decimal(str(wanted["revenue"])))


def parts(window: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups of a window, or the window itself."""
    return [*window["groups"].values()] if "groups" in window else [window]
