"""Channels that follow a model: what is saved or deleted is published when it is committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.fields.files import FieldFile
from django.db.models.signals import post_delete, post_save

from django_jackfield.channel import Channel
from django_jackfield.channel_api import shaped
from django_jackfield.command import Command
from django_jackfield.patterns import names
from django_jackfield.push import publish_many
from django_jackfield.registry import discovered_quietly

EVENTS = ("created", "updated", "deleted")
CHUNK = 500


class ModelChannel(Channel):
    """Publishes each object of `model` that is created, updated or deleted, after the commit.

    `fields` are the names of what is told; there is no default, because a field that is added
    later must not be public by itself. `events` are those that are told, or a dict of them and
    the names they are told by: `{"created": "order.created"}`. `permission` is what
    `can_subscribe` asks for.
    """

    model: ClassVar[type[models.Model] | str]
    fields: ClassVar[Sequence[str]] = ()
    events: ClassVar[Sequence[str] | Mapping[str, str]] = EVENTS

    def channels_for(self, obj: Any) -> str | Iterable[str]:
        """The channels that hear of an object; none where it is told to nobody.

        Without an override the values of the pattern are attributes of the object:
        `order:<int:pk>` is `order:7`.
        """
        values: dict[str, Any] = {}
        for name in names(self.pattern):
            try:
                values[name] = getattr(obj, name)
            except AttributeError:
                raise NotImplementedError(
                    f"write {type(self).__name__}.channels_for(self, obj): a "
                    f"{type(obj).__name__} has no {name!r} for the pattern {self.pattern!r}"
                ) from None
        return self.name(**values)

    def serialise(self, obj: Any, event: str) -> Any:
        """What is told of an object: its `fields`; of one that is deleted only its key.

        A relation is the key of its object, a file its name; `customer__name` follows a relation.
        """
        if event == "deleted":
            return {"id": obj.pk}
        return {"id": obj.pk} | {name: value_of(obj, name) for name in self.fields}

    @classmethod
    def publish_objects(
        cls, objects: Iterable[Any], event: str = "updated", **how: Any
    ) -> list[Command]:
        """Tells of many objects: after `update()`, `bulk_create()` and whatever sends no signal.

        They travel 500 at a time. `how` is what `publish_many` takes: `on_commit=`, `using=`.
        """
        if event not in EVENTS:
            raise ValueError(f"event is one of {', '.join(EVENTS)}, not {event!r}")
        channel = cls()
        if isinstance(objects, models.QuerySet):
            how.setdefault("using", objects.db)
            objects = objects.iterator(chunk_size=CHUNK)
        sent: list[Command] = []
        waiting = iter(objects)
        while chunk := list(islice(waiting, CHUNK)):
            items = [item for obj in chunk for item in channel.items(obj, event)]
            sent += publish_many(items, **({"via": cls.via} | how))
        return sent

    @classmethod
    async def apublish_objects(
        cls, objects: Iterable[Any], event: str = "updated", **how: Any
    ) -> list[Command]:
        """`publish_objects` for async code."""
        return await sync_to_async(cls.publish_objects)(objects, event, **how)

    def items(self, obj: Any, event: str) -> Iterator[tuple[list[str], Any, dict[str, Any]]]:
        """What is published of an object: none or one publication, to all its channels."""
        said = self.channels_for(obj)
        channels = [said] if isinstance(said, str) else list(said or ())
        if channels:
            told = self.events[event] if isinstance(self.events, Mapping) else event
            yield channels, shaped(told, self.serialise(obj, event)), self._how(obj)

    def concerns(self, sender: type[models.Model], event: str, changed: Any) -> bool:
        """Whether a signal of a model is to be told."""
        if event not in self.events or not issubclass(sender, model_of(type(self))):
            return False
        if not changed or type(self).serialise is not ModelChannel.serialise:
            return True
        # Why: whatever is no field of the model may follow from any of its fields.
        plain = all(_is_field(sender, name) for name in self.fields)
        wanted = {_field_name(sender, name) for name in self.fields} if plain else set(changed)
        return bool(wanted & {_field_name(sender, name) for name in changed} or not plain)

    def _how(self, obj: Any) -> dict[str, Any]:
        """Each object is a value of its own where a channel keeps the latest of several."""
        by_key = self.option("snapshot") or self.option("delivery") != "all"
        return {"key": str(obj.pk)} if by_key else {}


def connect() -> None:
    """Called by the app config: listens to every model; realtime.py is read at the first signal."""
    post_save.connect(_saved, dispatch_uid="django_jackfield.model_channel")
    post_delete.connect(_deleted, dispatch_uid="django_jackfield.model_channel")


def model_of(channel: type[ModelChannel]) -> type[models.Model]:
    """The model of a class, be it named `"shop.Order"`. Raises LookupError or ValueError."""
    return _model(channel.model)


def value_of(obj: Any, name: str) -> Any:
    """What a name in `fields` stands for."""
    *way, last = name.split("__")
    for step in way:
        obj = getattr(obj, step)
        if obj is None:
            return None
    try:
        field = obj._meta.get_field(last)
    except (AttributeError, FieldDoesNotExist):
        value = getattr(obj, last)
        return value() if callable(value) else value
    value = getattr(obj, getattr(field, "attname", last))
    return value.name if isinstance(value, FieldFile) else value


def _saved(sender: Any, instance: Any, created: bool, raw: bool, **kwargs: Any) -> None:
    # Why: fixtures are loaded table by table, so what an object refers to may not be there yet.
    if not raw:
        changed = None if created else kwargs.get("update_fields")
        _tell(sender, instance, "created" if created else "updated", changed)


def _deleted(sender: Any, instance: Any, **kwargs: Any) -> None:
    _tell(sender, instance, "deleted", None)


def _tell(sender: Any, instance: Any, event: str, changed: Any) -> None:
    for declared in discovered_quietly().channels:
        if not issubclass(declared, ModelChannel):
            continue
        channel = declared()
        if channel.concerns(sender, event, changed):
            items = list(channel.items(instance, event))
            publish_many(items, using=instance._state.db, via=declared.via)


@lru_cache(maxsize=256)
def _model(said: Any) -> type[models.Model]:
    return apps.get_model(said) if isinstance(said, str) else said


def _is_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def _field_name(model: type[models.Model], name: str) -> str:
    """`customer` for `customer_id`: update_fields takes both."""
    for field in model._meta.concrete_fields:
        if name in (field.name, field.attname):
            return field.name
    return name
