"""Who may come into a channel: the rules of its class, in the worker and in the token view."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404
from django.utils.functional import SimpleLazyObject

from django_jackfield.channel import Channel
from django_jackfield.command import new_id
from django_jackfield.context import Context
from django_jackfield.decisions import Subscription
from django_jackfield.event import Event
from django_jackfield.registry import Match

ACCESSES = ("public", "authenticated", "token", "ask")


def has_rules(channel: type[Channel]) -> bool:
    """Whether something of the class must run before a user comes in."""
    return bool(
        overrides(channel, "can_subscribe") or channel.permission or channel.permission_classes
    )


def access_of(channel: type[Channel]) -> str:
    """What counts as the `access` of a class: one with rules is asked, whatever else it says.

    Empty: nobody comes in.
    """
    if channel.access == "token":
        return "token"
    # Who may write in a document is told with the answer, so that there must be one.
    is_asked = has_rules(channel) or (channel.access and channel.option("document"))
    return "ask" if is_asked else channel.access


def overrides(channel: type[Channel], name: str) -> bool:
    """Whether a class has its own `can_subscribe`, `can_publish`, ..."""
    return getattr(channel, name) is not getattr(Channel, name)


def decide(
    channel: Channel,
    question: str,
    user: Any,
    params: dict[str, Any],
    *,
    by_token: bool = False,
) -> Any:
    """What a channel says to `can_subscribe`, `can_publish` or `can_stay`, all its rules together.

    `by_token`: the answer becomes a subscription token, or the user is in already. Otherwise who
    asks has no token, and a channel that takes only those is closed.
    """
    kind = type(channel)
    own = getattr(channel, question) if overrides(kind, question) else None
    if question == "can_publish":
        if own is None or not _passes(channel, user, params, is_write=True):
            return False
        return run(own, user, **params)
    if own is None and overrides(kind, "can_subscribe"):
        own = channel.can_subscribe
    is_opened = own is not None or kind.permission or kind.permission_classes
    if kind.access == "token" and not (by_token and is_opened):
        return False
    if not is_opened and kind.access not in ("public", "authenticated"):
        return False
    if not _passes(channel, user, params, is_write=False):
        return False
    said = True if own is None else run(own, user, **params)
    if said is True and question == "can_subscribe" and kind.access_ttl:
        return Subscription(cache_for=kind.access_ttl)
    return said


def decide_for(
    match: Match,
    name: str,
    user: Any,
    question: str = "can_subscribe",
    *,
    user_id: str | None = None,
    client: str = "",
    via: str = "default",
) -> Any:
    """What is said to a user about a channel, outside of the worker.

    `user_id` is for who is no Django user, such as a device that has a token of its own.
    """
    if user_id is None:
        user_id = "" if getattr(user, "is_anonymous", True) else str(user.pk)
    event = Event(id=new_id(), type="subscribe", user=user_id, channel=name, client=client)
    ctx = Context(event, params=match.params, via=via)
    ctx._user = user
    channel = match.channel()
    channel.ctx = ctx
    return decide(channel, question, user, match.params, by_token=True)


def is_async(channel: type[Channel], question: str) -> bool:
    """Whether the rules of a class are async code, in which nothing may be lazy."""
    names = {question, "can_subscribe", "get_object"}
    return any(inspect.iscoroutinefunction(getattr(channel, name)) for name in names)


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function, sync or async."""
    if inspect.iscoroutinefunction(function):
        return async_to_sync(function)(*args, **kwargs)
    return function(*args, **kwargs)


def _passes(channel: Channel, user: Any, params: dict[str, Any], *, is_write: bool) -> bool:
    """Whether `access`, `permission` and `permission_classes` let a user through to the hooks."""
    kind = type(channel)
    if kind.access == "authenticated" and not (user.is_authenticated and user.is_active):
        return False
    if not kind.permission and not kind.permission_classes:
        return True
    thing = None
    if overrides(kind, "get_object"):
        try:
            thing = run(channel.get_object, **params)
        except (ObjectDoesNotExist, Http404):
            return False
        if thing is None:
            return False
    wanted = [kind.permission] if isinstance(kind.permission, str) else list(kind.permission)
    if not user.has_perms([name for name in wanted if name], thing):
        return False
    return _permitted(channel, user, params, thing, is_write=is_write)


def _permitted(
    channel: Channel, user: Any, params: dict[str, Any], thing: Any, *, is_write: bool
) -> bool:
    """Whether permission classes of the kind of Django REST framework agree."""
    request = PermissionRequest(channel, user, is_write=is_write)
    view = PermissionView(channel, params, request)
    for entry in type(channel).permission_classes:
        # A composition (`IsAuthenticated & IsOwner`) is no class, yet makes its rule by a call.
        is_rule = hasattr(entry, "has_permission") and not isinstance(entry, type)
        rule = entry if is_rule else entry()
        if not rule.has_permission(request, view):
            return False
        by_object = getattr(rule, "has_object_permission", None)
        if thing is not None and by_object and not by_object(request, view, thing):
            return False
    return True


class PermissionRequest:
    """What a permission class sees as the request: reading is subscribing, writing publishing."""

    def __init__(self, channel: Channel, user: Any, *, is_write: bool) -> None:
        self.user = user
        self.auth = None
        self.method = "POST" if is_write else "GET"
        self.query_params: dict[str, str] = {}
        self.META: dict[str, str] = {"REMOTE_ADDR": channel.ctx.remote}
        self._channel = channel

    @property
    def data(self) -> Any:
        """What the client said."""
        return self._channel.ctx.data


class PermissionView:
    """What a permission class sees as the view: the channel, with `kwargs` and `action`."""

    def __init__(
        self, channel: Channel, params: dict[str, Any], request: PermissionRequest
    ) -> None:
        self.channel = channel
        self.kwargs = params
        self.request = request
        self.action = "publish" if request.method == "POST" else "subscribe"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel, name)


def lazy_user(ctx: Context) -> Any:
    """The user of a context, fetched when a rule looks at it."""
    return SimpleLazyObject(lambda: ctx.user)
