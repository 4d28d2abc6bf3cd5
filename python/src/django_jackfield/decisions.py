"""What handlers of calls return, and what becomes of it on the app link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.core.exceptions import PermissionDenied

OVERRIDES = frozenset(
    {
        "presence",
        "join_leave",
        "force_recovery",
        "force_positioning",
        "force_push_join_leave",
        "publish",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a subscription is granted: an answer of `can_subscribe`, a value of `Principal.subs`.

    `info` is what others see of the client in this channel, `data` is for the client,
    `expire_at` (seconds since 1970) is when `can_stay` is asked, `override` switches options of
    the namespace for this subscription: `{"presence": False}`, `{"publish": True}`. For
    `cache_for` seconds the same user is let in again without a question.
    """

    info: Any = None
    data: Any = None
    expire_at: int | None = None
    override: Mapping[str, bool] | None = None
    cache_for: int | None = None

    def __post_init__(self) -> None:
        unknown = set(self.override or ()) - OVERRIDES
        if unknown:
            raise ValueError(
                f"override of {', '.join(sorted(unknown))}: it may hold "
                f"{', '.join(sorted(OVERRIDES))}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What is published instead of what the client said: an answer of `can_publish`."""

    data: Any = None
    skip_history: bool | None = None
    tags: Mapping[str, str] | None = None
    idempotency_key: str | None = None
    delta: bool | None = None
    version: int | None = None
    version_epoch: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """How a connection or a subscription goes on: the answer of `@refreshing` and `can_stay`."""

    expire_at: int | None = None
    info: Any = None


@dataclass(frozen=True, slots=True)
class Cached:
    """What an rpc function returns where the same call of the same user has the same answer."""

    data: Any
    seconds: int


def subscribe_result(said: Any) -> dict[str, Any]:
    """The result of a subscribe call, from what `can_subscribe` returned."""
    if said is True:
        return {}
    if isinstance(said, Subscription):
        result = _given(said)
        if "override" in result:
            result["override"] = _switches(result["override"])
        return result
    _refused(said, "can_subscribe returns True, False or a Subscription")
    raise PermissionDenied


def publish_result(said: Any) -> dict[str, Any]:
    """The result of a publish call, from what `can_publish` returned."""
    if said is True:
        return {}
    if isinstance(said, Rewrite):
        return _given(said)
    _refused(said, "can_publish returns True, False or a Rewrite")
    raise PermissionDenied


def refresh_result(said: Any) -> dict[str, Any]:
    """The result of a refresh, from what `@refreshing` or `can_stay` returned."""
    if said is True:
        return {}
    if isinstance(said, Renewal):
        return _given(said)
    if isinstance(said, Subscription):
        return _given(Renewal(expire_at=said.expire_at, info=said.info))
    if isinstance(said, int) and said is not False:
        return {"expire_at": said}
    _refused(said, "it returns True, False, seconds since 1970 or a Renewal")
    return {"expired": True}


def rpc_result(said: Any) -> dict[str, Any]:
    """The result of an rpc, from what its function returned."""
    if isinstance(said, Cached):
        return {"data": said.data, "cache_for": said.seconds}
    return {"data": said}


def subs_result(subs: Mapping[str, Subscription] | Iterable[str]) -> dict[str, Any]:
    """The channels that a connection is put into from the start, by what was said of them."""
    if isinstance(subs, str):
        raise TypeError(f"subs is a list of channels or a dict of Subscriptions, not {subs!r}")
    if not isinstance(subs, Mapping):
        return {"channels": [str(channel) for channel in subs]}
    return {"subs": {name: _sub(name, grant) for name, grant in subs.items()}}


def _sub(name: str, grant: Subscription) -> dict[str, Any]:
    if not isinstance(grant, Subscription):
        raise TypeError(f"subs[{name!r}] is a Subscription, not {grant!r}")
    if grant.cache_for is not None:
        raise ValueError(f"subs[{name!r}]: cache_for is for can_subscribe, connects are not cached")
    return subscribe_result(grant)


def _given(said: Any) -> dict[str, Any]:
    """The fields that were given."""
    values = {field.name: getattr(said, field.name) for field in fields(said)}
    return {name: value for name, value in values.items() if value is not None}


def _switches(override: Mapping[str, bool]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in override.items()}


def _refused(said: Any, rule: str) -> None:
    """Passes for a refusal, and raises for what is neither that nor a permission."""
    if said is not None and said is not False:
        raise TypeError(f"{rule}; not {said!r}")
