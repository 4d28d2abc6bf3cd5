"""The page, the clock of the feed, and how fast it goes."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django.views.generic import TemplateView

from market.exchange import COMPANIES, SECTORS
from market.models import RATES, Pace
from market.realtime import Depth, FeedChannel, Quotes


class MarketView(LoginRequiredMixin, TemplateView):
    """The page: who is listed. Prices come over the socket."""

    template_name = "market/board.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the script has to know."""
        script = {
            "companies": COMPANIES,
            "channels": {
                "quotes": Quotes.name("all"),
                "trend": Quotes.name("trend"),
                "depth": Depth.name(""),
                "feed": FeedChannel.name(),
            },
            "clockUrl": reverse("market:clock"),
            "paceUrl": reverse("market:pace"),
            "loginUrl": f"{reverse('login')}?next={reverse('market:home')}",
            "slowUrl": settings.DEMO_SLOW_URL,
        }
        rates = [(rate, f"{rate:,}") for rate in RATES]
        context = {"script": script, "sectors": SECTORS, "rates": rates, "rate": Pace.now()}
        return super().get_context_data(**context, **kwargs)


@require_GET
@never_cache
def clock(request: HttpRequest) -> JsonResponse:
    """The time by which the feed stamps its trades: it runs on this machine."""
    return JsonResponse({"at": time.time_ns() // 1_000_000})


@require_POST
@login_required
def pace(request: HttpRequest) -> JsonResponse:
    """`rate=10000`: from now on the feed makes so many trades a second."""
    rate = request.POST.get("rate", "")
    if rate not in map(str, RATES):
        return JsonResponse({"error": f"rate is one of {', '.join(map(str, RATES))}"}, status=400)
    Pace.ask_for(int(rate))
    return JsonResponse({"rate": int(rate)})
