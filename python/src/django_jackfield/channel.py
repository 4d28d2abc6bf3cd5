"""What a project writes in realtime.py: channel classes and decorated functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from django.urls.resolvers import RoutePattern

from django_jackfield.channel_api import ChannelApi
from django_jackfield.decisions import Renewal, Rewrite, Subscription
from django_jackfield.documents import StoredDocument
from django_jackfield.options import History
from django_jackfield.patterns import names as parameters
from django_jackfield.registry import Function, registry
from django_jackfield.rules import MARK, ORDERINGS

if TYPE_CHECKING:
    from django_jackfield.context import Context

F = TypeVar("F", bound=Function)
_PARAMETER = re.compile(r"<(?:[^>:]+:)?([^>]+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a connection is: the answer of a `@connecting` function.

    `subs` are the channels it is in from the start: names, or a dict of names and Subscriptions.
    """

    user: str = ""
    info: Any = None
    data: Any = None
    meta: Mapping[str, Any] | None = None
    expire_at: int | None = None
    subs: Mapping[str, Subscription] | Iterable[str] | None = None


OPTION_NAMES = frozenset(
    {
        "access",
        "binary",
        "delivery",
        "document",
        "history",
        "join_leave",
        "options",
        "ordering",
        "permission",
        "permission_classes",
        "presence",
        "rate",
        "relay",
        "snapshot",
    }
)


class Channel(ChannelApi):
    """All channels whose name fits `pattern`: what they keep, who may do what, and handlers.

    The pattern is a route with Django's path converters: `room:<int:pk>`. Its values are handed
    to the handlers by name. One object is made per message; `ctx` is what it is told beside them.
    """

    pattern: ClassVar[str] = ""
    history: ClassVar[History | None] = None
    presence: ClassVar[bool] = False
    join_leave: ClassVar[bool] = False
    delivery: ClassVar[str] = "all"
    snapshot: ClassVar[bool] = False
    binary: ClassVar[bool] = False
    document: ClassVar[str] = ""
    """`"yjs"`: each channel is a document that clients edit together; see `load_document`."""
    rate: ClassVar[str | int | None] = None
    relay: ClassVar[bool | Sequence[str]] = False
    options: ClassVar[Mapping[str, Any]] = {}
    access: ClassVar[str] = ""
    """Who may subscribe: `"public"`, `"authenticated"`, `"token"` (who has a token that opens this
    channel), or `"ask"`, which is meant where a rule below is given. Without any: nobody."""
    access_ttl: ClassVar[int] = 0
    """For how many seconds the server remembers that a user was let in; `recheck` ends it."""
    permission: ClassVar[str | Sequence[str]] = ()
    """Django permissions that a user needs, of the object of `get_object` if there is one."""
    permission_classes: ClassVar[Sequence[Any]] = ()
    """Objects or classes with `has_permission(request, view)`, as of Django REST framework."""
    handlers: ClassVar[dict[str, str]] = {}
    declared: ClassVar[dict[str, Any]] = {}
    ordering: ClassVar[str] = "connection"
    """What is handled in order within a worker: messages of a "connection", "channel" or "user"."""
    _route: ClassVar[RoutePattern]
    ctx: Context

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.handlers = {
            event: name
            for owner in reversed(cls.__mro__)
            for name, member in vars(owner).items()
            for event in getattr(member, MARK, ())
        }
        cls.declared = {
            name: value
            for owner in reversed(cls.__mro__)
            if owner not in (Channel, ChannelApi, object)
            for name, value in vars(owner).items()
            if name in OPTION_NAMES and not callable(value)
        }
        if cls.ordering not in ORDERINGS:
            raise ValueError(
                f"{cls.__name__}.ordering is one of {', '.join(ORDERINGS)}, not {cls.ordering!r}"
            )
        if cls.pattern:
            cls._route = RoutePattern(cls.pattern, is_endpoint=True)
            registry.channels.append(cls)

    def get_object(self, *_: Any, **params: Any) -> Any:
        """The object whose permissions count. If overridden, no object means no access."""
        return None

    def can_subscribe(self, user: Any, *_: Any, **params: Any) -> bool | Subscription | None:
        """Whether a user may come in, where the namespace has `subscribe_proxy_enabled`.

        Override it with the values of the pattern: `(self, user, pk)`. True or a Subscription
        lets the user in; nobody comes in unless something says so.
        """
        return False

    def can_publish(self, user: Any, *_: Any, **params: Any) -> bool | Rewrite | None:
        """Whether a user may publish `self.ctx.data`, with `publish_proxy_enabled`.

        True publishes it as it is, a Rewrite something else.
        """
        return False

    def can_stay(
        self, user: Any, *_: Any, **params: Any
    ) -> bool | int | Renewal | Subscription | None:
        """Whether a user whose subscription has expired may stay, with `sub_refresh_proxy_enabled`.

        True or a Renewal keeps the user in; without an override `can_subscribe` is asked again.
        """
        return self.can_subscribe(user, **params)

    def load_document(self, *_: Any, **params: Any) -> StoredDocument | Iterable[bytes]:
        """What is stored of a document, nothing for a new one, where `document` is set.

        Override it with the values of the pattern: `(self, pk)`. The server asks when the first
        client comes in, and forgets the document when the last one is gone.
        """
        return ()

    def save_document(self, update: bytes, replaces: Any, *_: Any, **params: Any) -> None:
        """Stores what was edited: `(self, update, replaces, pk)`, where `document` is set.

        `update` comes beside what is stored. Where `replaces` is not None it is the `upto` of a
        `StoredDocument` that was loaded, and the update contains all of it: what was loaded may
        go, in one transaction. The same update may come twice. What raises is asked again.
        """

    @classmethod
    def option(cls, name: str) -> Any:
        """What the class says of an option; a handler may have the name of one."""
        value = getattr(cls, name)
        return getattr(Channel, name) if callable(value) else value

    @classmethod
    def match(cls, name: str) -> dict[str, Any] | None:
        """The values in a channel name, or None if it does not fit."""
        found = cls._route.match(name)
        return None if found is None else found[2]

    @classmethod
    def name(cls, *args: Any, **kwargs: Any) -> str:
        """The name of a channel: `RoomChannel.name(7)` or `RoomChannel.name(pk=7)`."""
        names = parameters(cls.pattern)
        values = dict(zip(names, args, strict=False)) | kwargs
        if len(args) > len(names) or set(values) != set(names):
            raise TypeError(f"{cls.__name__}.name() takes {', '.join(names) or 'nothing'}")
        return _PARAMETER.sub(
            lambda found: cls._route.converters[found[1]].to_url(values[found[1]]), cls.pattern
        )


@overload
def connecting(function: F) -> F: ...
@overload
def connecting(*, listener: str) -> Callable[[F], F]: ...
def connecting(function: Any = None, *, listener: str = "") -> Any:
    """Declares the function that decides who connects without a token: `(ctx, data)`.

    It returns a Principal, a dict of the same fields, or a user; None refuses.
    """

    def declare(function: F) -> F:
        registry.add("@connecting", registry.connecting, listener, function)
        return function

    return declare if function is None else declare(function)


@overload
def refreshing(function: F) -> F: ...
@overload
def refreshing(*, listener: str) -> Callable[[F], F]: ...
def refreshing(function: Any = None, *, listener: str = "") -> Any:
    """Declares the function that decides whether a connection whose time is up stays: `(ctx)`.

    It returns a Renewal, True (for ever) or seconds since 1970; None or False end the connection.
    """

    def declare(function: F) -> F:
        registry.add("@refreshing", registry.refreshing, listener, function)
        return function

    return declare if function is None else declare(function)


def connected(function: F) -> F:
    """Declares a function that hears of each new connection: `(ctx)`."""
    registry.connected.append(function)
    return function


def disconnected(function: F) -> F:
    """Declares a function that hears of each end: `(ctx)`; `ctx.data` has code and reason."""
    registry.disconnected.append(function)
    return function


def subscribed(function: F) -> F:
    """Declares a function that hears of each client in a channel: `(ctx)`, with `ctx.channel`."""
    return _hears("subscribe", function)


def unsubscribed(function: F) -> F:
    """Declares a function that hears of each client that left a channel: `(ctx)`.

    `ctx.data` has code and reason.
    """
    return _hears("unsubscribe", function)


def occupied(function: F) -> F:
    """Declares a function that hears of each channel with its first subscriber: `(ctx)`."""
    return _hears("occupied", function)


def vacated(function: F) -> F:
    """Declares a function that hears of each channel that lost its last subscriber: `(ctx)`."""
    return _hears("vacated", function)


def undelivered(function: F) -> F:
    """Declares a function that hears of what found nobody: `(ctx)`; `ctx.data` was said."""
    return _hears("undelivered", function)


def _hears(kind: str, function: F) -> F:
    registry.notices.setdefault(kind, []).append(function)
    return function
