"""Django's session engine `file`, which tells open sockets when a session ends."""

from __future__ import annotations

from django.contrib.sessions.backends import file

from django_jackfield.sessions._base import Telling


class SessionStore(Telling, file.SessionStore):
    """Sessions as `django.contrib.sessions.backends.file` keeps them."""
