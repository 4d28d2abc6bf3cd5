"""What a page is told, so that jackfield.js can connect."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.urls import NoReverseMatch, resolve, reverse

from django_jackfield.aliases import brokers
from django_jackfield.conf import in_development
from django_jackfield.namespaces import access
from django_jackfield.registry import discovered_quietly
from django_jackfield.sid import token_session_id
from django_jackfield.tokens import token as signed_token
from django_jackfield.views import TokenView, subject_of

CONFIG_ID = "jackfield-config"
LOOPBACK = {"localhost", "127.0.0.1"}


def page_config(
    request: HttpRequest, *, token: bool = True, info: Any = None, via: str = "default"
) -> dict[str, Any]:
    """What `{% jackfield_config %}` prints, as a dict.

    With `token=False` nothing of the visitor is in it: for pages that a cache keeps. The page then
    asks the token view. `info` is what others see of the user in presence.

    With AUTH "session" there is no token in it and none is asked for: the browser sends its cookie.
    """
    config = brokers[via].config
    is_by_cookie = config.auth == "session"
    if is_by_cookie and info is not None:
        raise ImproperlyConfigured(
            f"JACKFIELD[{via!r}]: AUTH is 'session', so that a page has no token that could carry "
            "info: override token_info of the token view, which is asked when a socket opens."
        )
    url = config.url_for(request)
    page: dict[str, Any] = {
        "url": _near(request, url) if is_by_cookie else url,
        "token_url": token_url(),
        "token": None,
    }
    if is_by_cookie:
        page["auth"] = config.auth
    if prefixes := token_channels():
        page["token_channels"] = prefixes
    if not token:
        return page
    # Reading the user marks the session as accessed, so the response varies by cookie.
    user = getattr(request, "user", None)
    is_known = user is not None and not user.is_anonymous
    if not (is_known or config.anonymous):
        return page | {"user": None}
    if is_by_cookie:
        # Two sockets that open at once would each give the session a name, and one would be lost.
        token_session_id(request)
    else:
        page["token"] = first_token(request, info, via)
    return page | {"user": str(user.pk) if user is not None and is_known else ""}


def first_token(request: HttpRequest, info: Any, via: str) -> str:
    """The token that the token view would give, by the methods that the project has overridden."""
    view = token_view(request)
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


def token_view(request: HttpRequest) -> TokenView:
    """The token view of the project, for what it says of a user."""
    url = token_url()
    found = None if url is None else getattr(resolve(url).func, "view_class", None)
    view: TokenView = found() if found and issubclass(found, TokenView) else TokenView()
    view.setup(request)
    return view


def _near(request: HttpRequest, url: str | None) -> str | None:
    """The server by the name by which a page of this machine was called.

    To a browser localhost and 127.0.0.1 are two hosts: the cookie of one does not go to the other.
    """
    if url is None or not in_development():
        return url
    parts = urlsplit(url)
    try:
        host, _ = split_domain_port(request.get_host())
    except DisallowedHost:
        return url
    if not {host, parts.hostname} <= LOOPBACK or parts.port is None:
        return url
    return parts._replace(netloc=f"{host}:{parts.port}").geturl()
