"""What a page is told, so that jackfield.js can connect."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from django_jackfield.aliases import brokers
from django_jackfield.tokens import token as signed_token

CONFIG_ID = "jackfield-config"


def page_config(
    request: HttpRequest, *, token: bool = True, info: Any = None, via: str = "default"
) -> dict[str, Any]:
    """What `{% jackfield_config %}` prints, as a dict.

    With `token=False` nothing of the visitor is in it: for pages that a cache keeps. The page then
    asks the token view. `info` is what others see of the user in presence.
    """
    config = brokers[via].config
    page: dict[str, Any] = {
        "url": config.public_url,
        "token_url": token_url(),
        "token": None,
    }
    if not token:
        return page
    # Reading the user marks the session as accessed, so the response varies by cookie.
    user = getattr(request, "user", None)
    if user is not None and not user.is_anonymous:
        return page | {
            "token": signed_token(request, info=info, via=via),
            "user": str(user.pk),
        }
    if config.anonymous:
        return page | {"token": _anonymous_token(info, via), "user": ""}
    return page | {"user": None}


def token_url() -> str | None:
    """The token view, or None where it is not routed."""
    try:
        return reverse("jackfield:token")
    except NoReverseMatch:
        return None


def _anonymous_token(info: Any, via: str) -> str:
    from django.contrib.auth.models import AnonymousUser

    return signed_token(AnonymousUser(), info=info, via=via)
