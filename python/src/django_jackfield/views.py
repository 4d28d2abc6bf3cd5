"""The token view: what a page asks before it opens its socket, or a channel that wants a token."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.vary import vary_on_cookie

from django_jackfield.access import decide_for
from django_jackfield.aliases import brokers
from django_jackfield.decisions import Subscription
from django_jackfield.errors import ClientError, Refuse
from django_jackfield.registry import discover
from django_jackfield.tokens import Capabilities, Channels, claims, signed, subscription_claims

_NO = (PermissionDenied, ObjectDoesNotExist, Http404, ClientError, Refuse)


@method_decorator([never_cache, vary_on_cookie], name="dispatch")
class TokenView(View):
    """`GET` answers `{"token", "expires", "url"}`, or 403 if nobody is logged in.

    `GET ?channel=room:7` answers `{"token", "expires", "channel"}` with a token that opens this
    channel, if the rules of its class let the user in: nothing is asked when it is used, so a
    site without a worker needs no other way.

    Override `token_info`, `token_channels` and `token_capabilities` to say more in the token.
    """

    http_method_names = ["get", "head", "options"]
    via = "default"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Signs a token for the user of the session."""
        config = brokers[self.via].config
        user = getattr(request, "user", None)
        if (user is None or user.is_anonymous) and not config.anonymous:
            return JsonResponse({"error": "log in first"}, status=403)
        channel = request.GET.get("channel")
        if channel is not None:
            return self.open_channel(request, channel)
        payload = claims(
            subject_of(request),
            self.token_info(request),
            None,
            self.via,
            self.token_channels(request),
            self.token_capabilities(request),
        )
        return JsonResponse(
            {
                "token": signed(payload, self.via),
                "expires": payload["exp"],
                "url": config.url_for(request),
            }
        )

    def open_channel(self, request: HttpRequest, channel: str) -> HttpResponse:
        """Signs a token for one channel, after its class was asked."""
        match = discover().match(channel)
        said: Any = None
        if match is not None:
            subject = subject_of(request)
            try:
                said = decide_for(match, channel, subject.user, via=self.via)
            except _NO:
                said = None
        if said is not True and not isinstance(said, Subscription):
            return JsonResponse({"error": "permission denied"}, status=403)
        grant = said if isinstance(said, Subscription) else None
        payload = subscription_claims(subject_of(request), channel, grant, None, self.via)
        return JsonResponse(
            {"token": signed(payload, self.via), "expires": payload["exp"], "channel": channel}
        )

    def token_info(self, request: HttpRequest) -> Any:
        """What others see of this user in presence."""
        return None

    def token_channels(self, request: HttpRequest) -> Channels:
        """The channels in which the client is from the start."""
        return ()

    def token_capabilities(self, request: HttpRequest) -> Capabilities | None:
        """What the client may do beyond the rules of channels."""
        return None


def subject_of(request: HttpRequest) -> Any:
    """The request; or a nobody, where no middleware has put a user into it."""
    if hasattr(request, "user"):
        return request
    nobody = SimpleNamespace(is_anonymous=True, is_authenticated=False, is_active=False)
    return SimpleNamespace(user=nobody)
