"""Django's session engine `cached_db`, which tells open sockets when a session ends."""

from __future__ import annotations

from django.contrib.sessions.backends import cached_db

from django_jackfield.sessions._base import Telling


class SessionStore(Telling, cached_db.SessionStore):
    """Sessions as `django.contrib.sessions.backends.cached_db` keeps them."""
