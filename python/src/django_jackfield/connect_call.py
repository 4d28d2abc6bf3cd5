"""What the server is told of the connect view: where it is, and what goes with a question."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse

from django_jackfield.conf import Config

VIEW = "jackfield:connect"
USUAL_PATH = "/jackfield/connect/"
TIMEOUT = "3s"
"""Below the five seconds that SDKs wait; above what a process needs that starts first."""
HEADERS = ("Accept-Language", "Cookie", "Origin", "User-Agent", "X-Forwarded-For")
UNAUTHORIZED = {"code": 101, "message": "unauthorized"}
REFUSALS = (302, 303, 307, 403)
"""How middleware refuses: by a login page, a second factor to be given first, "forbidden"."""
ROUTE = 'add path("jackfield/", include("django_jackfield.urls")) to the root urlconf'


def table(endpoint: str) -> dict[str, Any]:
    """`[client.proxy.connect]` of the server's file, all but the secret."""
    return {
        "enabled": True,
        "endpoint": endpoint,
        "timeout": TIMEOUT,
        "http_headers": list(HEADERS),
        "http": {
            "status_to_code_transforms": [
                {"status_code": status, "to_error": dict(UNAUTHORIZED)} for status in REFUSALS
            ]
        },
    }


def endpoint(config: Config, site: str = "") -> str:
    """Where the server asks: CONNECT_URL, or the view on a site of this machine.

    Raises ImproperlyConfigured where neither is known.
    """
    if config.connect_url:
        return config.connect_url
    if not site:
        raise ImproperlyConfigured(
            f"JACKFIELD[{config.alias!r}]: AUTH is {config.auth!r}, and CONNECT_URL does not say "
            f"where the server reaches the connect view, such as http://127.0.0.1:8000{USUAL_PATH}."
        )
    return site + _path(config)


def _path(config: Config) -> str:
    try:
        return reverse(VIEW)
    except NoReverseMatch as error:
        raise ImproperlyConfigured(
            f"JACKFIELD[{config.alias!r}]: AUTH is {config.auth!r}, and the connect view is not "
            f"routed: {ROUTE}."
        ) from error
    except Exception:
        # The parent of `runserver` asks as well. What is wrong with a urlconf is told by the
        # child, which tells the server of the path once it can be loaded.
        return USUAL_PATH
