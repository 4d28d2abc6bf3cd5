"""The page, the last hour of orders, the last minute of figures, and a customer."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from dashboard import figures
from dashboard.models import Order
from dashboard.realtime import OrdersBoard, Sales

WINDOW = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
OVERLAP = timedelta(seconds=10)


class DashboardView(LoginRequiredMixin, TemplateView):
    """The page; what is on it comes by `orders/` and over the socket."""

    template_name = "dashboard/board.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the script has to know."""
        regions = [*Order.Region.values, "all"]
        script = {
            "channels": {region: OrdersBoard.name(region) for region in regions},
            "regions": Order.Region.choices,
            "sales": {
                "shop": Sales.name("shop"),
                "regions": Sales.name("regions"),
                "figures": figures.WANTED,
            },
            "ordersUrl": reverse("dashboard:orders"),
            "secondsUrl": reverse("dashboard:seconds"),
            "tokenUrl": reverse("jackfield:token"),
            "loginUrl": f"{reverse('login')}?next={reverse('dashboard:home')}",
            "windowSeconds": WINDOW.total_seconds(),
        }
        return super().get_context_data(script=script, regions=Order.Region.choices, **kwargs)


@method_decorator(never_cache, name="dispatch")
class LiveView(View):
    """What a page's script asks for."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A program that is not logged in is told so, rather than sent to a page."""
        if not request.user.is_authenticated:
            return JsonResponse({"error": "log in first"}, status=403)
        return super().dispatch(request, *args, **kwargs)


class OrdersView(LiveView):
    """`GET ?since=TIME`: what has changed since, or the last hour. `POST`: a customer comes."""

    def get(self, request: HttpRequest) -> JsonResponse:
        """Orders as the channel tells them."""
        orders = last_hour()
        if since := moment(request.GET.get("since", "")):
            # Why: a transaction that began before commits after it, with the older time.
            orders = orders.filter(updated__gte=since - OVERLAP)
        return JsonResponse({"orders": list(orders.values(*OrdersBoard.fields))})

    def post(self, request: HttpRequest) -> JsonResponse:
        """A new order, and a step for two that wait. `save()` is all that tells the boards."""
        Order.random().save()
        for waiting in last_hour().exclude(status=Order.Status.SHIPPED).order_by("?")[:2]:
            waiting.advance()
            waiting.save()
        return JsonResponse({}, status=201)


class SecondsView(LiveView):
    """`GET ?region=&after=ID&through=ID`: the last minute as the server would have told it."""

    def get(self, request: HttpRequest) -> JsonResponse:
        """The seconds, and sums since `after`; both up to `through`, or up to the newest order."""
        now = timezone.now()
        through = number(request.GET.get("through"), figures.newest())
        after = number(request.GET.get("after"), through)
        told = Order.objects.filter(pk__lte=through)
        chosen = told.filter(region=region) if (region := request.GET.get("region")) else told
        return JsonResponse(
            {
                "now": round(now.timestamp() * 1000),
                "after": after,
                "through": through,
                "since": figures.sums(chosen.filter(pk__gt=after)),
                "shop": figures.seconds(chosen.filter(at__gt=now - MINUTE)),
                "regions": figures.seconds(told.filter(at__gt=now - MINUTE), by="region"),
            }
        )


def last_hour() -> QuerySet[Order]:
    """What the page looks at."""
    return Order.objects.filter(at__gt=timezone.now() - WINDOW)


def number(text: str | None, otherwise: int) -> int:
    """A number that is no larger than a key can be."""
    return int(text) if text and re.fullmatch("[0-9]{1,18}", text) else otherwise


def moment(text: str) -> Any:
    """A time with its zone, or nothing."""
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found and found.tzinfo else None
