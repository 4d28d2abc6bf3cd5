"""What pages are told of orders. Nobody publishes: the model tells of itself."""

from __future__ import annotations

from django_jackfield import History, ModelChannel

from dashboard.models import Order


class OrdersBoard(ModelChannel):
    """`orders:north` and its like, and `orders:all`."""

    pattern = "orders:<slug:region>"
    model = Order
    fields = ["id", "region", "status", "total", "at", "updated"]
    access = "authenticated"
    history = History(size=1000, ttl="10m")

    def channels_for(self, order: Order) -> list[str]:
        """The board of its region, and that of the whole shop."""
        return [self.name(region) for region in (order.region, "all")]


class Sales(ModelChannel):
    """What came in, for those who want figures of it: `sales:shop` and `sales:regions`."""

    pattern = "sales:<slug:view>"
    model = Order
    fields = ["region", "total"]
    events = ["created"]
    access = "authenticated"
    options = {"allow_aggregates": True}

    def channels_for(self, order: Order) -> list[str]:
        """Two names: a page subscribes to a name once, and wants the shop's and each region's."""
        return [self.name("shop"), self.name("regions")]
