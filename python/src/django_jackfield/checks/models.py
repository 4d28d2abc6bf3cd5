"""System checks of ModelChannels: what they tell, and whether it is meant to be told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import FieldDoesNotExist

from django_jackfield.checks import TAG
from django_jackfield.errors import DiscoveryError
from django_jackfield.model_channel import EVENTS, ModelChannel, model_of
from django_jackfield.patterns import described
from django_jackfield.registry import discover, registry

SENSITIVE = ("password", "passwd", "token", "secret", "api_key", "private_key")


def check_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E013: fields that are not given, do not exist, or are nobody's business."""
    try:
        discover()
    except DiscoveryError:
        return []  # Why: it is E014 of the checks of channels.
    return [
        Error(f"{described(channel)}: {fault}", hint=hint, obj=channel, id="jackfield.E013")
        for channel in registry.channels
        if issubclass(channel, ModelChannel)
        for fault, hint in faults(channel)
    ]


def register_checks() -> None:
    """Called by the app config."""
    register(check_models, TAG)


def faults(channel: type[ModelChannel]) -> Iterator[tuple[str, str]]:
    """What is wrong with a class, and what to do."""
    try:
        model = model_of(channel)
    except AttributeError:
        yield "model is not given.", "Write model = Order, or model = 'shop.Order'."
        return
    except (LookupError, ValueError) as error:
        yield f"model: {error}", "Write the model, or 'app_label.Model'."
        return
    own = channel.serialise is ModelChannel.serialise
    if isinstance(channel.fields, str) or (own and not channel.fields):
        yield (
            "fields is not given as a list.",
            "Name what subscribers may see: fields = ['id', 'status']. There is no 'all'.",
        )
        return
    for name in channel.fields:
        if any(word in name.lower() for word in SENSITIVE):
            yield (
                f"fields names {name!r}, which every subscriber would see.",
                "Take it out of fields. If it is harmless, tell it by another name in "
                "serialise(self, obj, event).",
            )
        elif own and not _is_there(model, name):
            known = ", ".join(field.name for field in model._meta.concrete_fields)
            yield (
                f"{model.__name__} has no {name!r} that fields could tell.",
                f"It has {known}; relations of many objects are told in serialise().",
            )
    unknown = sorted(set(channel.events) - set(EVENTS))
    if isinstance(channel.events, str) or unknown:
        yield f"events: {channel.events!r}.", f"Choose of {', '.join(EVENTS)}."


def _is_there(model: Any, name: str) -> bool:
    first, *rest = name.split("__")
    try:
        field = model._meta.get_field(first)
    except FieldDoesNotExist:
        if any(one.attname == first for one in model._meta.concrete_fields):
            return not rest
        return hasattr(model, first) and not rest
    if field.many_to_many or field.one_to_many:
        return False
    if not rest:
        return not field.auto_created or field.concrete
    return field.is_relation and _is_there(field.related_model, "__".join(rest))
