"""From an event to the handler that takes it, and back to an outcome."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.dispatch import Signal
from django.http import Http404

from django_jackfield import access, documents
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
from django_jackfield.logs import current
from django_jackfield.registry import Function, Match, Registry
from django_jackfield.rules import PLAIN, Allowance, Rule, rule_of
from django_jackfield.signals import (
    channel_occupied,
    channel_vacated,
    client_connected,
    client_disconnected,
    client_subscribed,
    client_unsubscribed,
    handler_failed,
    handler_finished,
    handler_started,
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

HOOKS = {"subscribe": "on_subscribe", "unsubscribe": "on_leave"}
"""Methods that a Channel class may have: `(self, ctx, **params)`."""

PRINCIPAL_FIELDS = frozenset(Principal.__dataclass_fields__)


class UnknownMethod(Exception):
    """No rpc function has this name."""


class TooMany(Exception):
    """A client calls more often than a rule allows."""


_FINAL = (UnhandledEvent, ClientError, Refuse)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event: done, answered, or dead with a reason.

    `dropped` says in a word why it was not handled and is not dead either; `faulty` that its
    handler raised, so that another try may help.
    """

    answer: bytes | None = None
    dead: str = ""
    error: BaseException | None = None
    dropped: str = ""
    faulty: bool = False


DONE = Outcome()


@dataclass(slots=True)
class Message:
    """A message, its data, and who takes it."""

    event: Event
    data: Any
    rule: Rule
    function: Function
    match: Match | None = None

    def joins(self, other: Message) -> bool:
        """Whether both may be handed to their handler together."""
        return self.rule is other.rule and self.event.channel == other.event.channel


class Dispatcher:
    """Calls handlers. Holds nothing about a connection."""

    def __init__(self, registry: Registry, via: str = "default") -> None:
        self.registry = registry
        self.via = via
        self._allowance = Allowance()
        self._calls: dict[str, Callable[[Event], dict[str, Any]]] = {
            "publish": self._publishing,
            "refresh": self._refreshing,
            "rpc": self._rpc,
            "sub_refresh": self._staying,
            "subscribe": self._subscribing,
        }

    def handle(self, event: Event) -> Outcome:
        """Runs the handler of an event. Raises nothing."""
        if event.type == "message":
            try:
                message = self.message(event)
            except (EventError, UnhandledEvent) as error:
                return self.unhandled(error)
            return self.refusal(message) or self.run([message])
        if event.type in NOTICES and not event.call:
            return self._told([event], partial(self._noticed, event))
        call = self._calls.get(event.type)
        if call is not None:
            return self._call(event, call)
        if event.type == "connect":
            if event.call:
                return self._call(event, self._connecting)
            return self._told([event], partial(self._connected, event))
        return self._told([event], partial(self._disconnected, event))

    def message(self, event: Event) -> Message:
        """Finds who takes a message. Raises EventError, UnhandledEvent."""
        name, data = _named(event)
        match = self.registry.match(event.channel) if event.channel else None
        if match is not None and name in match.channel.handlers:
            function = getattr(match.channel, match.channel.handlers[name])
            rule = rule_of(function, name)
            if not rule.listener or rule.listener == event.listener:
                return Message(event, data, rule, function, match)
        found = self.registry.message(name, event.listener)
        if found is None:
            place = f"channel {event.channel[:80]!r}" if event.channel else "no channel"
            raise UnhandledEvent(f"no handler for message {name[:80]!r} of {place}")
        return Message(event, data, rule_of(found, name), found)

    def limit(self, event: Event) -> float | None:
        """How long the handler of a call may run, if its rule says so."""
        function = self.registry.rpcs.get(event.event) if event.type == "rpc" else None
        return None if function is None else rule_of(function, f"rpc {event.event}").timeout

    def unhandled(self, error: EventError | UnhandledEvent) -> Outcome:
        """The outcome of a message that nobody takes."""
        return _not_understood(error) if isinstance(error, EventError) else _dead(error)

    def refusal(self, message: Message) -> Outcome | None:
        """The outcome of a message that comes too soon after others."""
        rule, event = message.rule, message.event
        if rule.rate is None or self._allowance.take(rule.rate, _spender(rule, event)):
            return None
        logger.info("message %r of %r was dropped: too many", rule.name, event.client[:80])
        return Outcome(dropped="too many")

    def run(self, messages: Sequence[Message]) -> Outcome:
        """Hands one message, or a batch, to its handler. Raises nothing."""
        return self._told([one.event for one in messages], partial(self._message, messages))

    def _told(self, events: Sequence[Event], handle: Callable[[], None]) -> Outcome:
        """Events that nobody waits for: what fails is dead."""
        try:
            handle()
        except PermissionDenied as error:
            # Nobody is told: a client that may not could else fill the dead letters.
            logger.warning("%s was dropped, permission denied: %s", _words(events), error)
            return Outcome(error=error, dropped="denied")
        except EventError as error:
            return _not_understood(error)
        except Exception as error:
            logger.exception("%s failed", _words(events))
            reason = f"{type(error).__name__}: {error}"[:500]
            return Outcome(dead=reason, error=error, faulty=not isinstance(error, _FINAL))
        return DONE

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
        except TooMany:
            return _error(event, 111, "too many requests", temporary=True)
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

    def _message(self, messages: Sequence[Message]) -> None:
        last = messages[-1]
        rule, match = last.rule, last.match
        params = match.params if match is not None else {}
        contexts = tuple(Context(one.event, params=params, via=self.via) for one in messages)
        ctx = contexts[-1]
        data = last.data
        if rule.batch > 1:
            ctx._batch = contexts
            data = [one.data for one in messages]
        for one in contexts:
            if rule.permission is not None and (one is ctx or one.user_id != ctx.user_id):
                rule.check_permission(one)
        function = last.function
        if match is not None:
            function = getattr(_channel(match, ctx), match.channel.handlers[rule.name])
        work = partial(self._invoke, rule, function, ctx, ctx, data, **params)
        said = _once(ctx, work) if rule.once else work()
        if rule.task is not None and said is not False:
            given = said if isinstance(said, dict) else {"data": data, **params}
            rule.task.enqueue(**given)

    def _rpc(self, event: Event) -> dict[str, Any]:
        if event.event.startswith(documents.RESERVED):
            return self._document(event)
        function = self.registry.rpcs.get(event.event)
        if function is None:
            raise UnknownMethod
        rule = rule_of(function, f"rpc {event.event}")
        if rule.rate is not None and not self._allowance.take(rule.rate, _spender(rule, event)):
            raise TooMany
        arguments = _arguments(function, event.data)
        ctx = Context(event, via=self.via)
        rule.check_permission(ctx)

        def work() -> dict[str, Any]:
            return rpc_result(self._invoke(rule, function, ctx, ctx, **arguments))

        return _once(ctx, work) if rule.once else work()

    def _invoke(
        self, rule: Rule, function: Function, ctx: Context, *args: Any, **kwargs: Any
    ) -> Any:
        """Runs code of the project, and tells who listens."""
        told = {"ctx": ctx, "name": rule.name or ctx.event or ctx.type, "handler": function}
        token = current.set(ctx)
        handler_started.send_robust(sender=Dispatcher, **told)
        start = time.perf_counter()
        try:
            result = _run(rule.timeout, function, args, kwargs)
        except Exception as error:
            took = time.perf_counter() - start
            handler_failed.send_robust(sender=Dispatcher, seconds=took, error=error, **told)
            raise
        finally:
            current.reset(token)
        took = time.perf_counter() - start
        handler_finished.send_robust(sender=Dispatcher, seconds=took, **told)
        return result

    def _document(self, event: Event) -> dict[str, Any]:
        """What the server itself asks, for no client: load a document, or save a part of one."""
        if event.client or event.user or event.event not in (documents.LOAD, documents.SAVE):
            raise UnknownMethod
        name, data = documents.asked(event.data)
        match = self.registry.match(name)
        if match is None or not match.channel.option("document"):
            raise PermissionDenied
        ctx = Context(replace(event, channel=name), params=match.params, via=self.via)
        channel = _channel(match, ctx)
        try:
            if event.event == documents.LOAD:
                said = self._invoke(PLAIN, channel.load_document, ctx, **match.params)
                return {"data": documents.loaded(said)}
            told = (documents.update_of(data), data.get("replaces"))
            self._invoke(PLAIN, channel.save_document, ctx, *told, **match.params)
        except (ObjectDoesNotExist, Http404) as error:
            raise ClientError(documents.GONE, "there is no such document") from error
        return {"data": {}}

    def _subscribing(self, event: Event) -> dict[str, Any]:
        match, ctx = self._asked(event)
        result = subscribe_result(self._decide(match, ctx, "can_subscribe"))
        if not match.channel.option("document") or "publish" in result.get("override", ()):
            return result
        try:
            write = documents.may_write(self._decide(match, ctx, "can_publish"))
        except documents.WITHOUT_RIGHT:
            write = False
        return documents.granted(result, write=write)

    def _publishing(self, event: Event) -> dict[str, Any]:
        return publish_result(self._ask(event, "can_publish"))

    def _staying(self, event: Event) -> dict[str, Any]:
        try:
            return refresh_result(self._ask(event, "can_stay"))
        except PermissionDenied:
            return {"expired": True}

    def _ask(self, event: Event, question: str) -> Any:
        """What the class of a channel says."""
        return self._decide(*self._asked(event), question)

    def _asked(self, event: Event) -> tuple[Match, Context]:
        """The class that is asked about a channel; one that no class fits is nobody's."""
        match = self.registry.match(event.channel)
        if match is None:
            raise PermissionDenied
        return match, Context(event, params=match.params, via=self.via)

    def _decide(self, match: Match, ctx: Context, question: str) -> Any:
        # Many rules need no more than `self.ctx.user_id`; in async code nothing may be lazy.
        user = ctx.user if access.is_async(match.channel, question) else access.lazy_user(ctx)
        channel = _channel(match, ctx)
        return self._invoke(PLAIN, access.decide, ctx, channel, question, user, match.params)

    def _refreshing(self, event: Event) -> dict[str, Any]:
        function = self.registry.refreshing_for(event.listener)
        if function is None:
            logger.warning("a connection has ended: no function is decorated @refreshing")
            return {"expired": True}
        try:
            ctx = Context(event, via=self.via)
            return refresh_result(self._invoke(PLAIN, function, ctx, ctx))
        except PermissionDenied:
            return {"expired": True}

    def _connecting(self, event: Event) -> dict[str, Any]:
        function = self.registry.connecting_for(event.listener)
        if function is None:
            logger.warning("a connection was refused: no function is decorated @connecting")
            raise PermissionDenied
        try:
            ctx = Context(event, via=self.via)
            return _principal(self._invoke(PLAIN, function, ctx, ctx, event.data))
        except PermissionDenied as error:
            raise Refuse(3507, "permission denied") from error

    def _connected(self, event: Event) -> None:
        self._notice(event, client_connected, self.registry.connected)

    def _disconnected(self, event: Event) -> None:
        self._notice(event, client_disconnected, self.registry.disconnected)

    def _noticed(self, event: Event) -> None:
        hook = HOOKS.get(event.type)
        match = self.registry.match(event.channel) if hook and event.channel else None
        if hook and match is not None and hasattr(match.channel, hook):
            ctx = Context(event, params=match.params, via=self.via)
            method = getattr(_channel(match, ctx), hook)
            self._invoke(PLAIN, method, ctx, ctx, **match.params)
        self._notice(event, NOTICES[event.type], self.registry.notices.get(event.type, []))

    def _notice(self, event: Event, signal: Signal, functions: list[Function]) -> None:
        ctx = Context(event, via=self.via)
        for function in functions:
            self._invoke(PLAIN, function, ctx, ctx)
        signal.send(sender=Dispatcher, ctx=ctx)


def _channel(match: Match, ctx: Context) -> Channel:
    channel = match.channel()
    channel.ctx = ctx
    return channel


def _run(
    timeout: float | None, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if inspect.iscoroutinefunction(function):
        return async_to_sync(_awaited)(timeout, function, args, kwargs)
    return function(*args, **kwargs)


async def _awaited(
    timeout: float | None, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    async with asyncio.timeout(timeout):
        return await function(*args, **kwargs)


def _once(ctx: Context, work: Callable[[], Any]) -> Any:
    from django_jackfield.inbox.once import run_once

    return run_once(ctx.id, work)


def _spender(rule: Rule, event: Event) -> tuple[str, str, str]:
    """Whose events a rate counts: those of a connection, or of a user without one."""
    return rule.name, event.client or event.user, event.channel


def _not_understood(error: EventError) -> Outcome:
    return Outcome(dead=f"not understood: {error}", error=error)


def _dead(error: UnhandledEvent) -> Outcome:
    return Outcome(dead=str(error), error=error)


def _words(events: Sequence[Event]) -> str:
    """Events, for the log: nothing that a client made up is longer than it may be."""
    first = events[0]
    more = f" and {len(events) - 1} more" if len(events) > 1 else ""
    return f"{first.type} {first.id!r}{more} of user {first.user[:80]!r}"


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
