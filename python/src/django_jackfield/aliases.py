"""The aliases of the JACKFIELD setting, and the backend objects behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from asgiref.local import Local
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.connection import (
    BaseConnectionHandler,
    ConnectionDoesNotExist,
    ConnectionProxy,
)
from django.utils.module_loading import import_string

from django_jackfield.conf import load, raw_aliases, unknown_options

if TYPE_CHECKING:
    from django_jackfield.backends.base import BaseBackend


class InvalidAlias(ConnectionDoesNotExist):
    """No such alias in the JACKFIELD setting."""


class Brokers(BaseConnectionHandler):  # type: ignore[misc]
    """One backend object per alias, per thread and async context; the costly parts are shared."""

    settings_name = "JACKFIELD"
    exception_class = InvalidAlias

    def configure_settings(self, settings: Any) -> dict[str, Any]:
        return raw_aliases() if settings is None else settings

    def create_connection(self, alias: str) -> BaseBackend:
        config = load(alias, self.settings[alias])
        backend = backend_class(config.backend)
        faults = unknown_options(alias, config.options, backend.OPTIONS)
        if faults:
            raise ImproperlyConfigured(" ".join(faults))
        return backend(config)

    def reset(self) -> None:
        """Forgets the setting and every object made from it."""
        self.close_all()
        self.__dict__.pop("settings", None)
        self._settings = None
        self._connections = Local(self.thread_critical)


def backend_class(path: str) -> type[BaseBackend]:
    """The class behind a dotted path. Raises ImproperlyConfigured."""
    from django_jackfield.backends.base import BaseBackend

    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"JACKFIELD: cannot import the backend {path!r} ({error}). The own ones are "
            "django_jackfield.backends.{redis.RedisBackend, rabbitmq.RabbitMQBackend, "
            "embedded.EmbeddedBackend, locmem.LocMemBackend, console.ConsoleBackend, "
            "dummy.DummyBackend}."
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseBackend)):
        raise ImproperlyConfigured(f"JACKFIELD: {path!r} is no BaseBackend.")
    return found


brokers = Brokers()
broker = cast("BaseBackend", ConnectionProxy(brokers, "default"))


def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting in {"JACKFIELD", "DEBUG", "SECRET_KEY"}:
        brokers.reset()


setting_changed.connect(_reset, dispatch_uid="django_jackfield.aliases")
