"""Figures of orders: what pages want of the server, and the same by the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Max, QuerySet, Sum

from dashboard.models import Order

SECOND_MS = 1000
WANTED = {
    "orders": "count",
    "revenue": "sum:data.total",
    "p95": "p95:data.total",
    "first": "min:data.id",
    "last": "max:data.id",
}


def seconds(orders: Iterable[Order], by: str = "") -> list[dict[str, Any]]:
    """A window for each second in which something came in; `by` is the field that groups."""
    windows: defaultdict[int, defaultdict[str, list[Order]]]
    windows = defaultdict(lambda: defaultdict(list))
    for order in orders:
        at = int(order.at.timestamp())
        windows[at * SECOND_MS][getattr(order, by) if by else ""].append(order)
    return [
        {"from": start, "to": start + SECOND_MS}
        | (
            {"groups": {name: figures(group) for name, group in sorted(groups.items())}}
            if by
            else figures(groups[""])
        )
        for start, groups in sorted(windows.items())
    ]


def figures(orders: list[Order]) -> dict[str, Any]:
    """`WANTED`, of orders that are at hand."""
    totals = sorted(order.total for order in orders)
    ids = [order.pk for order in orders]
    return {
        "orders": len(orders),
        "revenue": float(sum(totals)),
        "p95": float(totals[-(-len(totals) * 95 // 100) - 1]),  # the nearest rank
        "first": min(ids),
        "last": max(ids),
    }


def sums(orders: QuerySet[Order]) -> dict[str, Any]:
    """How many, and their worth."""
    found = orders.aggregate(orders=Count("pk"), revenue=Sum("total"))
    return {"orders": found["orders"], "revenue": float(found["revenue"] or 0)}


def newest() -> int:
    """The highest id that there is."""
    return Order.objects.aggregate(newest=Max("pk"))["newest"] or 0
