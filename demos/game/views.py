"""The page of the arena."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest
from django.urls import reverse
from django.views.generic import TemplateView
from django_jackfield.views import TokenView

from game import arena
from game.models import Result, Round
from game.realtime import ArenaChannel, FieldChannel, SteerChannel


class ArenaView(LoginRequiredMixin, TemplateView):
    """The arena, and the best of all rounds; the rest happens in static/game/arena.js."""

    template_name = "game/arena.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the script has to know."""
        script = {
            "user": str(self.request.user.pk),
            "channels": {
                "arena": ArenaChannel.name(arena.ROOM),
                "field": FieldChannel.name(arena.ROOM),
                "steer": SteerChannel.name(arena.ROOM),
            },
            "size": arena.SIZE,
            "area": arena.AREA,
            "radius": arena.RADIUS,
            "limit": arena.LIMIT,
            "best": Result.best(),
            "round": getattr(Round.objects.first(), "pk", 0),
            "tokenUrl": reverse("game:token"),
            "loginUrl": f"{reverse('login')}?next={reverse('game:home')}",
        }
        return super().get_context_data(script=script, info=name_of(self.request), **kwargs)


class PlayerTokenView(TokenView):
    """Tokens that say the player's name, by which the loop shows it to others."""

    def token_info(self, request: HttpRequest) -> Any:
        """What others see."""
        return name_of(request)


def name_of(request: HttpRequest) -> dict[str, str]:
    """The name, as Django has it."""
    return {"name": request.user.get_username()}
