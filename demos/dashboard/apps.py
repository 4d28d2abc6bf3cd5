"""The app config."""

from datetime import timedelta
from typing import Any

from django.apps import AppConfig
from django.utils import timezone

ORDERS = 300


class DashboardConfig(AppConfig):
    """Orders of a shop, and a page that watches them."""

    name = "dashboard"

    def seed(self, users: list[Any]) -> None:
        """An hour of orders. They are older than any page, so nobody is told of them."""
        from dashboard.models import Order

        if Order.objects.exists():
            return
        orders = [Order.random() for _ in range(ORDERS)]
        for n, order in enumerate(orders):
            order.status = Order.Status.values[2 - (n > ORDERS * 0.8) - (n > ORDERS * 0.93)]
        Order.objects.bulk_create(orders)
        begin = timezone.now() - timedelta(hours=1)
        for n, order in enumerate(orders):
            order.at = begin + timedelta(hours=1) * n / ORDERS
        Order.objects.bulk_update(orders, ["at"])
