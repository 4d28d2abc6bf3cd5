"""The token view: what a page asks before it opens its socket."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.vary import vary_on_cookie

from django_jackfield.aliases import brokers
from django_jackfield.tokens import claims, signed


@method_decorator([never_cache, vary_on_cookie], name="dispatch")
class TokenView(View):
    """`GET` answers `{"token", "expires", "url"}`, or 403 if nobody is logged in.

    Override `token_info` to say more in the token.
    """

    http_method_names = ["get", "head", "options"]
    via = "default"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Signs a token for the user of the session."""
        config = brokers[self.via].config
        user = getattr(request, "user", None)
        if (user is None or user.is_anonymous) and not config.anonymous:
            return JsonResponse({"error": "log in first"}, status=403)
        if user is None:
            user = SimpleNamespace(is_anonymous=True)
        payload = claims(user, self.token_info(request), None, self.via)
        return JsonResponse(
            {
                "token": signed(payload, self.via),
                "expires": payload["exp"],
                "url": config.public_url,
            }
        )

    def token_info(self, request: HttpRequest) -> Any:
        """What others see of this user in presence."""
        return None
