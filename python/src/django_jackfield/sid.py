"""The name that ties tokens to a Django session.

It lies inside the session's data: `cycle_key()` copies it (a login, a password change), `flush()`
takes it away. Tokens carry it as `jti`, answers of the connect view as `token_id`, so one command
voids all that a session let in.
"""

from __future__ import annotations

import secrets
from importlib import import_module
from typing import Any

SESSION_FIELD = "_jackfield_sid"
_VISITOR = "visitor-"


def session_id(session: Any) -> str | None:
    """The name in a session, if a token was ever made for it."""
    name = session.get(SESSION_FIELD)
    return name if isinstance(name, str) and name else None


def ensured_session_id(session: Any, *, is_visitor: bool = False) -> str:
    """The name in a session; it gets one if it has none."""
    name = session_id(session)
    if name is None:
        name = (_VISITOR if is_visitor else "") + secrets.token_urlsafe(18)
        session[SESSION_FIELD] = name
    return name


def named_at_login(session: Any) -> str | None:
    """Gives the session of who logs in a name; returns the one it had as a visitor's."""
    old = session_id(session)
    if old is not None and old.startswith(_VISITOR):
        del session[SESSION_FIELD]
    else:
        old = None
    ensured_session_id(session)
    return old


def token_session_id(request: Any) -> str | None:
    """The name for a token of this request. A visitor gets none who has no session anyway."""
    session = getattr(request, "session", None)
    user = getattr(request, "user", None)
    if session is None or user is None:
        return None
    if not getattr(user, "is_anonymous", True):
        return ensured_session_id(session)
    if getattr(session, "session_key", None):
        return ensured_session_id(session, is_visitor=True)
    return None


def tells_its_end(engine: str) -> bool:
    """Whether sessions of this engine tell their end: ours, and what is made of ours."""
    from django_jackfield.sessions._base import Telling

    try:
        store = getattr(import_module(engine), "SessionStore", None)
    except ImportError:
        return True  # Django's own checks say more of it.
    return isinstance(store, type) and issubclass(store, Telling)


def stored_end(session: Any) -> int | None:
    """When a session ends by itself, in seconds since 1970; None where nobody knows.

    `get_expiry_date()` counts from now. What is stored counts from when it was saved, but only
    engines with a table can be asked for that.
    """
    model = getattr(session, "model", None)
    if model is None:
        return None
    rows = model._default_manager.filter(session_key=session.session_key)
    end = rows.values_list("expire_date", flat=True).first()
    return None if end is None else int(end.timestamp())
