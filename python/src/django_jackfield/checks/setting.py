"""System checks of the JACKFIELD setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse

from django_jackfield import conf
from django_jackfield.aliases import backend_class
from django_jackfield.checks import TAG


def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001 unknown key or option, E002 backend import, E003 keys, E006 bad value."""
    aliases = conf.raw_aliases()
    if not isinstance(aliases, Mapping):
        return [Error("JACKFIELD must be a dict of aliases.", id="jackfield.E006")]
    return [message for alias, raw in aliases.items() for message in _check_alias(alias, raw)]


def check_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W001: a backend that is meant for development or tests."""
    messages: list[CheckMessage] = []
    for alias, raw in conf.raw_aliases().items():
        path = (conf.DEFAULTS | dict(raw))["BACKEND"]
        try:
            backend = backend_class(path)
        except ImproperlyConfigured:
            continue
        if backend.FOR_DEVELOPMENT:
            messages.append(
                Warning(
                    f"JACKFIELD[{alias!r}] uses {path}, which is for development and tests.",
                    hint="Use django_jackfield.backends.redis.RedisBackend or "
                    "django_jackfield.backends.rabbitmq.RabbitMQBackend.",
                    id="jackfield.W001",
                )
            )
    return messages


def check_urls(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W002: the token view is not routed."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    try:
        reverse("jackfield:token")
    except NoReverseMatch:
        return [
            Warning(
                "The token view is not routed, so pages cannot connect.",
                hint='Add path("jackfield/", include("django_jackfield.urls")) to the root '
                "urlconf, or silence this if you hand out tokens in another way.",
                id="jackfield.W002",
            )
        ]
    return []


def register_checks() -> None:
    """Called by the app config."""
    register(check_settings, TAG)
    register(check_deployment, TAG, Tags.security, deploy=True)
    register(check_urls, TAG, Tags.urls)


def _check_alias(alias: str, raw: Any) -> Iterator[CheckMessage]:
    for fault in conf.unknown_keys(alias, raw):
        yield Error(fault, id="jackfield.E001")
    faults = conf.bad_values(alias, raw)
    for fault in faults:
        yield Error(fault, id="jackfield.E006")
    if not isinstance(raw, Mapping) or faults:
        return
    full = conf.DEFAULTS | dict(raw)
    try:
        backend = backend_class(full["BACKEND"])
    except ImproperlyConfigured as error:
        yield Error(str(error), id="jackfield.E002")
    else:
        for fault in conf.unknown_options(alias, full["OPTIONS"], backend.OPTIONS):
            yield Error(fault, id="jackfield.E001")
    yield from _check_keys(alias, [conf.resolved(key) for key in full["KEYS"]])


def _check_keys(alias: str, keys: list[str]) -> Iterator[CheckMessage]:
    if conf.in_development():
        return
    hint = "Make a key with `manage.py jackfield keygen` and read it from the environment."
    if not keys:
        yield Error(
            f"JACKFIELD[{alias!r}]: KEYS is missing and DEBUG is off.",
            hint=hint,
            id="jackfield.E003",
        )
    elif settings.SECRET_KEY in keys:
        yield Error(
            f"JACKFIELD[{alias!r}]: KEYS holds SECRET_KEY, which must not leave Django.",
            hint=hint,
            id="jackfield.E003",
        )
