"""Django's session engine `cache`, which tells open sockets when a session ends."""

from __future__ import annotations

from django.contrib.sessions.backends import cache

from django_jackfield.sessions._base import Telling


class SessionStore(Telling, cache.SessionStore):
    """Sessions as `django.contrib.sessions.backends.cache` keeps them."""
