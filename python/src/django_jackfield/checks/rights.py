"""System checks of who may what: channels, tokens, sessions."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from django_jackfield import conf
from django_jackfield.checks import TAG
from django_jackfield.errors import DiscoveryError
from django_jackfield.sid import tells_its_end

LONG_SECONDS = 3600


def check_access(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E010: a channel class that does not say who may come in, or says two things."""
    from django_jackfield.access import ACCESSES, has_rules
    from django_jackfield.registry import discover

    try:
        channels = list(discover().channels)
    except DiscoveryError:
        return []  # Why: it is E014 of the checks of channels.
    messages: list[CheckMessage] = []
    for channel in channels:
        fault = hint = ""
        if channel.access and channel.access not in ACCESSES:
            fault = f"access is {channel.access!r}"
            hint = conf.suggestion(channel.access, ACCESSES).strip()
        elif channel.access == "public" and has_rules(channel):
            fault = 'access is "public", yet it has rules, which are asked'
            hint = 'Leave access out, or the rules; "ask" is what rules mean.'
        elif channel.access == "ask" and not has_rules(channel):
            fault = 'access is "ask", yet there is nothing to ask: nobody comes in'
            hint = "Override can_subscribe, or set permission or permission_classes."
        elif not channel.access and not has_rules(channel):
            fault = "it does not say who may come in, so nobody does"
            hint = (
                "Override can_subscribe, set permission or permission_classes, or set access to "
                '"public", "authenticated" or "token".'
            )
        if fault:
            name = f"{channel.__module__}.{channel.__qualname__}"
            said = f"{name} ({channel.pattern!r}): {fault}."
            messages.append(Error(said, hint=hint, obj=channel, id="jackfield.E010"))
    return messages


def check_sessions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W004: the session engine does not tell when something other than a logout ends a session."""
    engine = str(getattr(settings, "SESSION_ENGINE", ""))
    if not apps.is_installed("django.contrib.sessions") or tells_its_end(engine):
        return []
    own = f"django_jackfield.sessions.{engine.rpartition('.')[2]}"
    known = engine.startswith("django.contrib.sessions.backends.") and "signed" not in engine
    return [
        Warning(
            f"SESSION_ENGINE {engine} does not tell when a session is deleted by something other "
            f"than a logout ('sign out my other devices'). Its sockets stay open, those that came "
            f"by a cookie for TOKEN_TTL; a copied token is refused when it expires, as late.",
            hint=f"Set SESSION_ENGINE to {own!r}: the same engine, which tells."
            if known
            else "Call disconnect(session=...) where you delete sessions, and silence this.",
            id="jackfield.W004",
        )
    ]


def check_token_ttl(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W008: tokens live long."""
    aliases = conf.raw_aliases()
    return [
        Warning(
            f"JACKFIELD[{alias!r}]: TOKEN_TTL is {raw['TOKEN_TTL']} seconds. A token that is "
            f"copied is good for as long, unless its session or its user is disconnected.",
            hint="An hour is long; 300 is the default. Pages renew their tokens by themselves.",
            id="jackfield.W008",
        )
        for alias, raw in (aliases.items() if isinstance(aliases, dict) else ())
        if isinstance(raw, dict)
        and isinstance(raw.get("TOKEN_TTL"), int)
        and raw["TOKEN_TTL"] > LONG_SECONDS
    ]


def register_checks() -> None:
    """Called by the app config."""
    register(check_access, TAG)
    register(check_token_ttl, TAG, Tags.security)
    register(check_sessions, TAG, Tags.security, deploy=True)
