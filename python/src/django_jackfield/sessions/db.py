"""Django's session engine `db`, which tells open sockets when a session ends."""

from __future__ import annotations

from django.contrib.sessions.backends import db

from django_jackfield.sessions._base import Telling


class SessionStore(Telling, db.SessionStore):
    """Sessions as `django.contrib.sessions.backends.db` keeps them."""
