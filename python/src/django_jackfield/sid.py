"""The name that ties tokens to a Django session.

It lies inside the session's data: `cycle_key()` copies it (a login, a password change), `flush()`
takes it away. Tokens carry it as `jti`, so one command voids all tokens of a session.
"""

from __future__ import annotations

import secrets
from typing import Any

SESSION_FIELD = "_jackfield_sid"


def session_id(session: Any) -> str | None:
    """The name in a session, if a token was ever made for it."""
    name = session.get(SESSION_FIELD)
    return name if isinstance(name, str) and name else None


def ensured_session_id(session: Any) -> str:
    """The name in a session; it gets one if it has none."""
    name = session_id(session)
    if name is None:
        name = session[SESSION_FIELD] = secrets.token_urlsafe(18)
    return name


def token_session_id(request: Any) -> str | None:
    """The name for a token of this request: only who is logged in has a session worth naming."""
    session = getattr(request, "session", None)
    user = getattr(request, "user", None)
    if session is None or user is None or getattr(user, "is_anonymous", True):
        return None
    return ensured_session_id(session)
