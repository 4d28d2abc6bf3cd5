"""System checks: the content security policy, and who else replaces runserver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host

from django_jackfield import conf
from django_jackfield.checks import TAG

DEFAULT_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}
ALLOWING = {"ws": ("ws",), "wss": ("ws", "wss")}
"""Which schemes in a policy let a scheme of a URL through: `http:` lets no WebSocket through."""


def check_csp(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W003: SECURE_CSP of Django 6 lacks `connect-src` for PUBLIC_URL."""
    policies = {
        name: getattr(settings, name, None) for name in ("SECURE_CSP", "SECURE_CSP_REPORT_ONLY")
    }
    return [
        Warning(
            f"{name} does not let pages connect to {url} (PUBLIC_URL of JACKFIELD[{alias!r}]).",
            hint=f'{name}["connect-src"] needs "{_origin(url)}", and CSP.SELF for the token view.',
            id="jackfield.W003",
        )
        for name, policy in policies.items()
        if isinstance(policy, Mapping) and policy
        for alias, url in _public_urls()
        if not allows(policy, url)
    ]


def check_runserver(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W007: Daphne or Channels replace runserver, too."""
    from django.apps import apps

    found = [
        config.name
        for config in apps.get_app_configs()
        if config.name == "daphne" or (config.name == "channels" and _has_runserver(config))
    ]
    return [
        Warning(
            f"{name!r} in INSTALLED_APPS replaces runserver by an ASGI server, "
            "which Jackfield does not need.",
            hint=f"Take {name!r} out of INSTALLED_APPS and ASGI_APPLICATION out of the settings "
            "when the last consumer is gone; until then silence this warning.",
            id="jackfield.W007",
        )
        for name in found
    ]


def allows(policy: Mapping[str, Any], url: str) -> bool:
    """Whether a policy lets a page open a WebSocket to a URL."""
    for directive in ("connect-src", "default-src"):
        sources = policy.get(directive)
        if sources is not None and sources is not False:
            return any(_source_allows(source, url) for source in _sources(sources))
    return True


def register_checks() -> None:
    """Called by the app config."""
    register(check_csp, TAG, Tags.security)
    register(check_runserver, TAG)


def _has_runserver(config: Any) -> bool:
    from importlib.util import find_spec

    # Channels had a runserver of its own until version 4.
    return find_spec(f"{config.name}.management.commands.runserver") is not None


def _public_urls() -> Iterable[tuple[str, str]]:
    aliases = conf.raw_aliases()
    if not isinstance(aliases, Mapping):
        return
    for alias, raw in aliases.items():
        try:
            url = conf.load(alias, raw).public_url
        except ImproperlyConfigured:
            continue  # E001, E002 and E006 tell of it
        # A relative URL leads to the site itself, which is 'self' to today's browsers.
        if url and urlsplit(url).hostname:
            yield alias, url


def _sources(sources: Any) -> list[str]:
    if isinstance(sources, str):
        return sources.split()
    return [str(source) for source in sources] if isinstance(sources, Iterable) else []


def _source_allows(source: str, url: str) -> bool:
    wanted = urlsplit(url)
    if source == "*":
        return True
    if source.endswith(":"):
        return source[:-1].lower() in ALLOWING.get(wanted.scheme, ())
    if source == "'self'":
        return _is_own_site(wanted)
    if source.startswith("'"):
        return False
    given = urlsplit(source if "//" in source else f"//{source}")
    if given.scheme and given.scheme not in ALLOWING.get(wanted.scheme, ()):
        return False
    host, name = given.hostname or "", wanted.hostname or ""
    if host.startswith("*."):
        if not name.endswith(host[1:]):
            return False
    elif host != name:
        return False
    if given.netloc.endswith(":*"):
        return True
    port = wanted.port or DEFAULT_PORTS.get(wanted.scheme)
    allowed = given.port or DEFAULT_PORTS.get(given.scheme or wanted.scheme)
    if allowed != port and not (allowed == 80 and port == 443):  # 80 takes the secure one, too
        return False
    return not given.path or given.path == "/" or _path_allows(given.path, wanted.path)


def _is_own_site(url: SplitResult) -> bool:
    """'self' takes WebSockets of the same host and port; the hosts of Django are ALLOWED_HOSTS."""
    if url.port not in (None, DEFAULT_PORTS.get(url.scheme)):
        return False
    return any(validate_host(url.hostname or "", [host]) for host in settings.ALLOWED_HOSTS)


def _path_allows(allowed: str, path: str) -> bool:
    return path.startswith(allowed) if allowed.endswith("/") else path == allowed


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
