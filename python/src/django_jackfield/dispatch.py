"""From an event to the handler that takes it, and back to an outcome."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import PermissionDenied
from django.dispatch import Signal
from django.utils.functional import SimpleLazyObject

from django_jackfield.channel import Channel, Principal
from django_jackfield.context import Context
from django_jackfield.decisions import (
    publish_result,
    refresh_result,
    rpc_result,
    subs_result,
    subscribe_result,
)
from django_jackfield.errors import ClientError, EventError, Refuse, UnhandledEvent
from django_jackfield.event import Event, answer
from django_jackfield.registry import Function, Match, Registry
from django_jackfield.signals import (
    channel_occupied,
    channel_vacated,
    client_connected,
    client_disconnected,
    client_subscribed,
    client_unsubscribed,
    message_undelivered,
    node_lost,
    notices_lost,
)

logger = logging.getLogger("django_jackfield.worker")

NOTICES: dict[str, Signal] = {
    "node_lost": node_lost,
    "notices_lost": notices_lost,
    "occupied": channel_occupied,
    "subscribe": client_subscribed,
    "undelivered": message_undelivered,
    "unsubscribe": client_unsubscribed,
    "vacated": channel_vacated,
}

PRINCIPAL_FIELDS = frozenset(Principal.__dataclass_fields__)


class UnknownMethod(Exception):
    """No rpc function has this name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event: done, answered, or dead with a reason."""

    answer: bytes | None = None
    dead: str = ""
    error: BaseException | None = None


class Dispatcher:
    """Calls handlers. Holds nothing about a connection."""

    def __init__(self, registry: Registry, via: str = "default") -> None:
        self.registry = registry
        self.via = via
        self._calls: dict[str, Callable[[Event], dict[str, Any]]] = {
            "publish": self._publishing,
            "refresh": self._refreshing,
            "rpc": self._rpc,
            "sub_refresh": self._staying,
            "subscribe": self._subscribing,
        }

    def handle(self, event: Event) -> Outcome:
        """Runs the handler of an event. Raises nothing."""
        if event.type in NOTICES and not event.call:
            return self._told(event, self._noticed)
        call = self._calls.get(event.type)
        if call is not None:
            return self._call(event, call)
        if event.type == "message":
            return self._told(event, self._message)
        if event.type == "connect":
            return (
                self._call(event, self._connecting)
                if event.call
                else self._told(event, self._connected)
            )
        return self._told(event, self._disconnected)

    def _told(self, event: Event, handle: Callable[[Event], None]) -> Outcome:
        """An event that nobody waits for: what fails is dead."""
        try:
            handle(event)
        except UnhandledEvent as error:
            return Outcome(dead=str(error), error=error)
        except EventError as error:
            return Outcome(dead=f"not understood: {error}", error=error)
        except Exception as error:
            logger.exception("%s %r of user %r failed", event.type, event.id, event.user[:80])
            return Outcome(dead=f"{type(error).__name__}: {error}"[:500], error=error)
        return Outcome()

    def _call(self, event: Event, handle: Callable[[Event], dict[str, Any]]) -> Outcome:
        """An event whose sender waits: what fails is told to it."""
        try:
            return Outcome(answer(event.id, "result", handle(event)))
        except Refuse as error:
            refusal = {"code": error.code, "reason": error.reason}
            return Outcome(answer(event.id, "disconnect", refusal))
        except ClientError as error:
            return _error(
                event,
                error.code,
                error.message,
                temporary=error.temporary,
                cache_for=error.cache_for,
            )
        except PermissionDenied:
            return _error(event, 103, "permission denied")
        except UnknownMethod:
            return _error(event, 104, "method not found")
        except EventError as error:
            return _error(event, 107, f"bad request: {error}")
        except Exception as error:
            logger.exception("call %r %r failed", (event.event or event.type)[:80], event.id)
            outcome = _error(event, 100, "internal server error", temporary=True)
            return replace(outcome, error=error)

    def _message(self, event: Event) -> None:
        name, data = _named(event)
        match = self.registry.match(event.channel) if event.channel else None
        if match is not None and name in match.channel.handlers:
            ctx = Context(event, params=match.params, via=self.via)
            method = getattr(_channel(match, ctx), match.channel.handlers[name])
            _run(method, ctx, data, **match.params)
            return
        function = self.registry.message(name, event.listener)
        if function is None:
            place = f"channel {event.channel[:80]!r}" if event.channel else "no channel"
            raise UnhandledEvent(f"no handler for message {name[:80]!r} of {place}")
        _run(function, Context(event, via=self.via), data)

    def _rpc(self, event: Event) -> dict[str, Any]:
        function = self.registry.rpcs.get(event.event)
        if function is None:
            raise UnknownMethod
        arguments = _arguments(function, event.data)
        return rpc_result(_run(function, Context(event, via=self.via), **arguments))

    def _subscribing(self, event: Event) -> dict[str, Any]:
        return subscribe_result(self._ask(event, "can_subscribe"))

    def _publishing(self, event: Event) -> dict[str, Any]:
        return publish_result(self._ask(event, "can_publish"))

    def _staying(self, event: Event) -> dict[str, Any]:
        try:
            return refresh_result(self._ask(event, "can_stay"))
        except PermissionDenied:
            return {"expired": True}

    def _ask(self, event: Event, question: str) -> Any:
        """What the class of a channel says; a channel that no class fits is nobody's."""
        match = self.registry.match(event.channel)
        if match is None:
            raise PermissionDenied
        ctx = Context(event, params=match.params, via=self.via)
        method = getattr(_channel(match, ctx), question)
        # Many rules need no more than `self.ctx.user_id`; in async code nothing may be lazy.
        is_async = inspect.iscoroutinefunction(method)
        user = ctx.user if is_async else SimpleLazyObject(lambda: ctx.user)
        return _run(method, user, **match.params)

    def _refreshing(self, event: Event) -> dict[str, Any]:
        function = self.registry.refreshing_for(event.listener)
        if function is None:
            logger.warning("a connection has ended: no function is decorated @refreshing")
            return {"expired": True}
        try:
            return refresh_result(_run(function, Context(event, via=self.via)))
        except PermissionDenied:
            return {"expired": True}

    def _connecting(self, event: Event) -> dict[str, Any]:
        function = self.registry.connecting_for(event.listener)
        if function is None:
            logger.warning("a connection was refused: no function is decorated @connecting")
            raise PermissionDenied
        try:
            return _principal(_run(function, Context(event, via=self.via), event.data))
        except PermissionDenied as error:
            raise Refuse(3507, "permission denied") from error

    def _connected(self, event: Event) -> None:
        self._notice(event, client_connected, self.registry.connected)

    def _disconnected(self, event: Event) -> None:
        self._notice(event, client_disconnected, self.registry.disconnected)

    def _noticed(self, event: Event) -> None:
        self._notice(event, NOTICES[event.type], self.registry.notices.get(event.type, []))

    def _notice(self, event: Event, signal: Signal, functions: list[Function]) -> None:
        ctx = Context(event, via=self.via)
        for function in functions:
            _run(function, ctx)
        signal.send(sender=Dispatcher, ctx=ctx)


def _channel(match: Match, ctx: Context) -> Channel:
    channel = match.channel()
    channel.ctx = ctx
    return channel


def _run(function: Function, *args: Any, **kwargs: Any) -> Any:
    if inspect.iscoroutinefunction(function):
        return async_to_sync(function)(*args, **kwargs)
    return function(*args, **kwargs)


def _named(event: Event) -> tuple[str, Any]:
    """The name and the data of a message: from its JSON shape, or from the field `event`."""
    data = event.data
    shaped = isinstance(data, dict) and data.keys() <= {"event", "data"}
    if shaped and isinstance(data.get("event"), str):
        return data["event"], data.get("data")
    return event.event or "message", data


@lru_cache(maxsize=1024)
def _signature(function: Function) -> inspect.Signature:
    return inspect.signature(function)


def _arguments(function: Function, data: Any) -> dict[str, Any]:
    """What an rpc function is called with: `data` whole, or its members by name."""
    signature = _signature(function)
    names = list(signature.parameters)[1:]
    if not names:
        return {}
    if names[0] == "data":
        return {"data": data}
    if not isinstance(data, dict | None):
        raise EventError("the arguments must be a JSON object")
    members = data or {}
    try:
        signature.bind(None, **members)
    except TypeError as error:
        raise EventError(str(error)) from error
    return members


def _principal(said: Any) -> dict[str, Any]:
    """The result of a connect call, from what the function returned."""
    if said is None or said is False:
        raise Refuse(3507, "permission denied")
    if isinstance(said, Principal):
        said = {name: getattr(said, name) for name in PRINCIPAL_FIELDS}
    elif hasattr(said, "is_anonymous"):
        said = {} if said.is_anonymous else {"user": str(said.pk)}
    if not isinstance(said, dict) or not said.keys() <= PRINCIPAL_FIELDS:
        raise TypeError(
            f"a @connecting function returns a Principal, a user, None or a dict of "
            f"{', '.join(sorted(PRINCIPAL_FIELDS))}; not {said!r}"
        )
    result = {name: value for name, value in said.items() if value is not None}
    if "user" in result:
        result["user"] = str(result["user"])
    if "subs" in result:
        result |= subs_result(result.pop("subs"))
    return result


def _error(
    event: Event,
    code: int,
    message: str,
    *,
    temporary: bool = False,
    cache_for: int | None = None,
) -> Outcome:
    said: dict[str, Any] = {"code": code, "message": message, "temporary": temporary}
    if cache_for is not None and event.type in ("rpc", "subscribe"):
        said["cache_for"] = cache_for
    return Outcome(answer(event.id, "error", said))
