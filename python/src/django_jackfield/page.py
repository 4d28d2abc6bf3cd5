"""What a page is told, so that jackfield.js can connect."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, resolve, reverse

from django_jackfield.aliases import brokers
from django_jackfield.namespaces import access
from django_jackfield.registry import discovered_quietly
from django_jackfield.tokens import token as signed_token
from django_jackfield.views import TokenView, subject_of

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
        "url": config.url_for(request),
        "token_url": token_url(),
        "token": None,
    }
    if prefixes := token_channels():
        page["token_channels"] = prefixes
    if not token:
        return page
    # Reading the user marks the session as accessed, so the response varies by cookie.
    user = getattr(request, "user", None)
    if user is not None and not user.is_anonymous:
        return page | {
            "token": first_token(request, info, via),
            "user": str(user.pk),
        }
    if config.anonymous:
        return page | {"token": first_token(request, info, via), "user": ""}
    return page | {"user": None}


def first_token(request: HttpRequest, info: Any, via: str) -> str:
    """The token that the token view would give, by the methods that the project has overridden."""
    view = _token_view(request)
    return signed_token(
        subject_of(request),
        info=view.token_info(request) if info is None else info,
        channels=view.token_channels(request),
        capabilities=view.token_capabilities(request),
        via=via,
    )


def token_channels() -> list[str]:
    """How the names of channels begin that are opened by a token of the token view.

    A name that begins so and needs none gets one all the same, and is opened by it.
    """
    channels = discovered_quietly().channels
    return sorted(
        {channel.pattern.partition("<")[0] for channel in channels if access(channel) == "token"}
    )


def token_url() -> str | None:
    """The token view, or None where it is not routed."""
    try:
        return reverse("jackfield:token")
    except NoReverseMatch:
        return None


def _token_view(request: HttpRequest) -> TokenView:
    url = token_url()
    found = None if url is None else getattr(resolve(url).func, "view_class", None)
    view: TokenView = found() if found and issubclass(found, TokenView) else TokenView()
    view.setup(request)
    return view
