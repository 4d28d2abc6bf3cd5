"""What Django says about users, sessions and rights, and what becomes of it on open sockets.

Everything is done when the transaction has committed, on every alias, and never breaks a request.
`QuerySet.update()` and raw SQL send no signals: call `disconnect` or `recheck` beside them.
"""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from django_jackfield.aliases import brokers
from django_jackfield.conf import raw_aliases
from django_jackfield.rechecks import recheck_chosen, recheck_users
from django_jackfield.revoke import disconnect
from django_jackfield.sid import named_at_login, session_id

logger = logging.getLogger("django_jackfield")

CLOSED = 4001
"""The code of sockets whose user has changed: clients come back, if they get a new token."""
WATCHED = ("is_active", "password")
_BEFORE = "_jackfield_before"
_CLEARED = "_jackfield_cleared"
_ENDED = "_jackfield_ended"


def connect_receivers() -> None:
    """Called by the app config, when all models are there."""
    user_logged_in.connect(logged_in, dispatch_uid="django_jackfield.logged_in")
    user_logged_out.connect(logged_out, dispatch_uid="django_jackfield.logged_out")
    try:
        from django.contrib.auth import get_user_model

        user: Any = get_user_model()
    except (ImproperlyConfigured, LookupError):
        return
    _hear(pre_save, user_saving, user)
    _hear(post_save, user_saved, user)
    _hear(post_delete, user_deleted, user)
    for name in ("groups", "user_permissions"):
        relation: Any = getattr(user, name, None)
        if hasattr(relation, "through"):
            _hear(m2m_changed, rights_of_users_changed, relation.through)
    if apps.is_installed("django.contrib.auth"):
        from django.contrib.auth.models import Group

        _hear(m2m_changed, rights_of_groups_changed, Group.permissions.through)
        _hear(pre_delete, group_deleting, Group)
        _hear(post_delete, group_deleted, Group)


def _hear(signal: Any, receiver: Any, sender: Any) -> None:
    uid = f"django_jackfield.{receiver.__name__}.{sender.__name__}"
    signal.connect(receiver, sender=sender, dispatch_uid=uid)


# Sessions.


def logged_in(sender: Any, request: Any, **kwargs: Any) -> None:
    """Names the session, which is saved now anyway, so that two first tokens have one name.

    Sockets that were opened as a visitor's end, and come back with a token of the user.
    """
    session = getattr(request, "session", None)
    if session is not None:
        visitor = named_at_login(session)
        if visitor is not None:
            _end_sockets(visitor, reconnect=True)


def logged_out(sender: Any, request: Any, **kwargs: Any) -> None:
    """The session is still readable: `flush()` comes after this signal."""
    session = getattr(request, "session", None)
    if session is None:
        return
    name = session_id(session)
    if name:
        setattr(session, _ENDED, name)
        end_session(name)


def session_deleted(session: Any, name: str) -> None:
    """What the session engines of this package say; a logout has told it already."""
    if getattr(session, _ENDED, None) != name:
        end_session(name)


def end_session(name: str) -> None:
    """Ends the sockets of a session by the name that its tokens carry.

    Where visitors may connect, the page goes on as one of them.
    """
    _end_sockets(name)


def _end_sockets(name: str, *, reconnect: bool = False) -> None:
    for via in _aliases():
        _safely(
            lambda via=via: disconnect(
                session=name,
                reconnect=reconnect or brokers[via].config.anonymous,
                on_commit=True,
                via=via,
            )
        )


# Users.


def user_saving(
    sender: Any, instance: Any, raw: bool, using: str, update_fields: Any, **kwargs: Any
) -> None:
    """Remembers what a user was, where that may change."""
    instance.__dict__.pop(_BEFORE, None)
    if raw or instance._state.adding or instance.pk is None:
        return
    fields = [name for name in WATCHED if _is_field(sender, name)]
    if update_fields is not None:
        fields = [name for name in fields if name in update_fields]
    if fields:
        stored = sender._base_manager.using(using).filter(pk=instance.pk).values(*fields).first()
        instance.__dict__[_BEFORE] = stored or {}


def user_saved(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Ends the sockets of who was deactivated, and of who has another password.

    The session in which the password was changed comes back by itself: its next token is new.
    """
    before = instance.__dict__.pop(_BEFORE, None) or {}
    if before.get("is_active") and not instance.is_active:
        end_user(instance.pk, "user deactivated", using)
    elif "password" in before and before["password"] != instance.password:
        end_user(instance.pk, "password changed", using)


def user_deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Ends the sockets of who is no more."""
    if instance.pk is not None:
        end_user(instance.pk, "user deleted", using)


def end_user(user: Any, reason: str, using: str | None = None) -> None:
    """Ends the sockets of a user and voids the tokens given up to now."""
    for via in _aliases():
        _safely(
            lambda via=via: disconnect(
                str(user), code=CLOSED, reason=reason, on_commit=True, using=using, via=via
            )
        )


# Groups and permissions.


def rights_of_users_changed(
    sender: Any,
    instance: Any,
    action: str,
    reverse: bool,
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    """A user has other groups or permissions, or a group or a permission other users."""
    if action == "pre_clear" and reverse:
        # After it nobody knows whose it was.
        instance.__dict__[_CLEARED] = _users_of(sender, instance, using)
    if not action.startswith("post_"):
        return
    if not reverse:
        users = {instance.pk}
    elif action == "post_clear":
        users = instance.__dict__.pop(_CLEARED, set())
    else:
        users = set(pk_set or ())
    _recheck(users, using)


def rights_of_groups_changed(sender: Any, action: str, using: str, **kwargs: Any) -> None:
    """A group has other permissions: those of its members who are connected are asked.

    `instance` is a group, or a permission whose groups are set.
    """
    if not action.startswith("post_"):
        return
    groups = {kwargs["instance"].pk} if not kwargs["reverse"] else kwargs["pk_set"]

    def members(connected: set[str]) -> set[str]:
        return _members(connected, groups, using)

    for via in _aliases():
        _safely(lambda via=via: recheck_chosen(members, using=using, via=via))


def group_deleting(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Remembers who was in a group that goes."""
    relation = instance._meta.get_field("user")
    through = relation.field.remote_field.through
    instance.__dict__[_CLEARED] = _users_of(through, instance, using)


def group_deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Asks the rules of those who were in it."""
    _recheck(instance.__dict__.pop(_CLEARED, set()), using)


def _recheck(users: set[Any], using: str) -> None:
    known = {str(user) for user in users}
    for via in _aliases():
        _safely(lambda via=via: recheck_users(known, using=using, via=via))


def _users_of(through: Any, instance: Any, using: str) -> set[Any]:
    """The keys of the users whom a table ties to a group or a permission."""
    user: Any = apps.get_model(settings.AUTH_USER_MODEL)
    fields = [field for field in through._meta.fields if isinstance(field, models.ForeignKey)]
    to_user = next(field for field in fields if issubclass(user, field.related_model))
    other = next(field for field in fields if field is not to_user)
    rows = through._base_manager.using(using).filter(**{other.attname: instance.pk})
    return set(rows.values_list(to_user.attname, flat=True))


def _members(connected: set[str], groups: set[Any] | None, using: str) -> set[str]:
    """Those of the connected users who are in one of the groups (all, if it is not known which)."""
    if groups is None:
        return connected
    user: Any = apps.get_model(settings.AUTH_USER_MODEL)
    through = user.groups.through
    names = {
        field.related_model: field.attname for field in through._meta.fields if field.is_relation
    }
    to_group = next(name for model, name in names.items() if model is user.groups.rel.model)
    to_user = next(name for name in names.values() if name != to_group)
    rows = through._base_manager.using(using).filter(**{f"{to_group}__in": groups})
    found: set[str] = set()
    for key in rows.values_list(to_user, flat=True).iterator(chunk_size=2000):
        known = str(key)
        if known in connected:
            found.add(known)
    return found


# How it is told.


def _safely(work: Any) -> None:
    """Why: a login, a save, a logout must succeed whatever is wrong with us."""
    try:
        work()
    except Exception:
        logger.exception("rights that have changed could not be told to open sockets")


def _aliases() -> list[str]:
    aliases = raw_aliases()
    return list(aliases) if isinstance(aliases, dict) else []


def _is_field(model: Any, name: str) -> bool:
    return any(field.name == name for field in model._meta.concrete_fields)
