"""System checks of AUTH "session" and "both": cookies that log sockets in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host
from django.urls import NoReverseMatch, reverse

from django_jackfield import conf, connect_call
from django_jackfield.checks import TAG
from django_jackfield.conf import Config
from django_jackfield.connect import LOCAL_HOSTS
from django_jackfield.errors import DiscoveryError
from django_jackfield.project_file import origins
from django_jackfield.registry import discover

SECURITY = "django.middleware.security.SecurityMiddleware"
NEEDED = {
    "django.contrib.sessions.middleware.SessionMiddleware": "request.session",
    "django.contrib.auth.middleware.AuthenticationMiddleware": "request.user",
}


def check_asked(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E007 what the mode lacks, E008 functions that nobody asks."""
    messages: list[CheckMessage] = []
    for config in _asking():
        what = f"JACKFIELD[{config.alias!r}]: AUTH is {config.auth!r}"
        messages += [
            Error(f"{what}, and {fault}.", hint=hint, id="jackfield.E007")
            for fault, hint in _lacking(config)
        ]
        if names := _connecting():
            messages.append(
                Error(
                    f"{what}, so the connect view is asked about every client without a token, "
                    f"and @connecting {', '.join(names)} never is.",
                    hint="Take them out and override ConnectView, or leave AUTH at 'token'.",
                    id="jackfield.E008",
                )
            )
    return messages


def check_cookies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W005: the session's cookie does not go where the socket is opened."""
    return [
        Warning(
            f"JACKFIELD[{config.alias!r}]: AUTH is {config.auth!r}, and {fault}.",
            hint=hint,
            id="jackfield.W005",
        )
        for config in _asking()
        for fault, hint in _uncovered(config)
    ]


def check_reach(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W011: Django turns away what the server asks at CONNECT_URL."""
    return [
        Warning(
            f"CONNECT_URL of JACKFIELD[{config.alias!r}] is {config.connect_url}: {fault}.",
            hint=hint,
            id="jackfield.W011",
        )
        for config in _asking()
        if config.connect_url
        for fault, hint in _turned_away(urlsplit(config.connect_url))
    ]


def check_pages(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W012: no page is known that may connect, so the server is told of none."""
    return [
        Warning(
            f"JACKFIELD[{config.alias!r}]: AUTH is {config.auth!r}, and no setting names a page "
            "that may open sockets with its visitor's cookie, so the server lets none in.",
            hint='Write the origin of the site, such as "https://example.com", into '
            "CSRF_TRUSTED_ORIGINS, or its host into ALLOWED_HOSTS ('*' names none).",
            id="jackfield.W012",
        )
        for config in _asking()
        if not list(origins([]))
    ]


def register_checks() -> None:
    """Called by the app config."""
    register(check_asked, TAG)
    register(check_cookies, TAG, Tags.security)
    register(check_reach, TAG, Tags.security)
    register(check_pages, TAG, Tags.security)


def _asking() -> Iterator[Config]:
    """The aliases with the mode; what is wrong with the others is E001, E002 or E006."""
    aliases = conf.raw_aliases()
    for alias, raw in aliases.items() if isinstance(aliases, Mapping) else ():
        try:
            config = conf.load(alias, raw)
        except ImproperlyConfigured:
            continue
        if config.asks_by_cookie:
            yield config


def _lacking(config: Config) -> Iterator[tuple[str, str]]:
    if not config.connect_url and not conf.in_development():
        yield (
            "CONNECT_URL does not say where the server reaches the connect view",
            f"Such as http://127.0.0.1:8000{connect_call.USUAL_PATH}, past the proxy in front.",
        )
    for name, what in NEEDED.items():
        if not any(_is_or_extends(path, name) for path in settings.MIDDLEWARE):
            yield (
                f"no middleware makes {what} of the cookie",
                f"Add {name!r} to MIDDLEWARE, or silence this if another one does it.",
            )
    if getattr(settings, "ROOT_URLCONF", None) and not config.connect_url:
        try:
            reverse(connect_call.VIEW)
        except NoReverseMatch:
            yield (
                "the connect view is not routed",
                f"{connect_call.ROUTE[0].upper()}{connect_call.ROUTE[1:]}.",
            )


def _is_or_extends(path: str, name: str) -> bool:
    from django.utils.module_loading import import_string

    if path == name:
        return True
    try:
        found, wanted = import_string(path), import_string(name)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, wanted)


def _connecting() -> list[str]:
    try:
        functions = discover().connecting.values()
    except DiscoveryError:
        return []  # Why: it is E014 of the checks of channels.
    return [f"{one.__module__}.{one.__qualname__}" for one in functions]


def _uncovered(config: Config) -> Iterator[tuple[str, str]]:
    url = urlsplit(config.public_url or "")
    host = (url.hostname or "").lower()
    if not host:
        # A relative URL leads to the host of the page.
        yield from _uncovered_path(url)
        return
    domain = settings.SESSION_COOKIE_DOMAIN
    if domain:
        bare = domain.lstrip(".").lower()
        if host != bare and not host.endswith(f".{bare}"):
            yield (
                f"SESSION_COOKIE_DOMAIN {domain!r} does not cover {host}, the host of PUBLIC_URL",
                "A browser sends the cookie only to that domain and what is below it: let the "
                "socket have a name there.",
            )
    elif not _is_host_of_pages(host):
        yield (
            f"SESSION_COOKIE_DOMAIN is not set, so that browsers send the cookie only to the host "
            f"of the page, and {host} of PUBLIC_URL is none of those",
            "Put the socket behind the host of the site (PUBLIC_URL '/connection/websocket'), or "
            "set SESSION_COOKIE_DOMAIN to the domain that both are in.",
        )
    if settings.SESSION_COOKIE_SECURE and url.scheme == "ws" and not conf.in_development():
        yield (
            "SESSION_COOKIE_SECURE keeps the cookie from PUBLIC_URL, which is ws://",
            "Let PUBLIC_URL be wss://.",
        )
    yield from _uncovered_path(url)


def _uncovered_path(url: SplitResult) -> Iterator[tuple[str, str]]:
    path = settings.SESSION_COOKIE_PATH or "/"
    if not (url.path == path or url.path.startswith(path.rstrip("/") + "/")):
        yield (
            f"SESSION_COOKIE_PATH {path!r} does not cover {url.path or '/'}, the path of "
            "PUBLIC_URL",
            "Let the socket have a path below it, or set SESSION_COOKIE_PATH to '/'.",
        )


def _is_host_of_pages(host: str) -> bool:
    """Whether pages come from just this host, as far as the settings tell."""
    names = [urlsplit(one).hostname or "" for one in settings.CSRF_TRUSTED_ORIGINS]
    names += settings.ALLOWED_HOSTS
    if conf.in_development() and validate_host(host, LOCAL_HOSTS):
        return True
    known = [name.lower() for name in names if name and "*" not in name]
    # A pattern such as ".example.com" tells no single host but the domain itself.
    return not known or host in {name.lstrip(".") for name in known}


def _turned_away(url: SplitResult) -> Iterator[tuple[str, str]]:
    host = url.netloc.rpartition("@")[2]
    name = f"[{url.hostname}]" if ":" in (url.hostname or "") else (url.hostname or "")
    allowed = settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else ())
    if not validate_host(name, allowed):
        yield (
            f"ALLOWED_HOSTS lacks {name}, so Django answers {host} with status 400",
            f"Add {name!r} to ALLOWED_HOSTS, or let CONNECT_URL have a host that is there.",
        )
    exempt = getattr(settings, "SECURE_REDIRECT_EXEMPT", ())
    path = url.path.lstrip("/")
    if (
        url.scheme == "http"
        and settings.SECURE_SSL_REDIRECT
        and SECURITY in settings.MIDDLEWARE
        and not any(re.search(one, path) for one in exempt)
    ):
        yield (
            "SECURE_SSL_REDIRECT answers it with a redirect, which the server does not follow",
            f"SECURE_REDIRECT_EXEMPT = [{f'^{re.escape(path)}$'!r}]; requests are signed.",
        )
