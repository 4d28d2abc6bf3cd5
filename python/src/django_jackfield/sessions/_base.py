"""What the session engines of this package add to those of Django."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import SessionBase

from django_jackfield.sid import session_id

logger = logging.getLogger("django_jackfield")

if TYPE_CHECKING:
    _Base = SessionBase
else:
    _Base = object


class Telling(_Base):
    """Ends the sockets of a session that is deleted, by whomever.

    A session whose key is cycled lives on under another key, so nothing is told then.
    """

    _is_silent = False

    def delete(self, session_key: str | None = None) -> None:
        """Deletes a session and tells its name."""
        name = self._name_to_tell(session_key)
        with self._silent():
            super().delete(session_key)
        self._tell(name)

    async def adelete(self, session_key: str | None = None) -> None:
        """`delete` for async code."""
        name = await sync_to_async(self._name_to_tell)(session_key)
        with self._silent():
            await super().adelete(session_key)
        await sync_to_async(self._tell)(name)

    def cycle_key(self) -> None:
        """Moves the session to another key."""
        with self._silent():
            super().cycle_key()

    async def acycle_key(self) -> None:
        """`cycle_key` for async code."""
        with self._silent():
            await super().acycle_key()

    @contextmanager
    def _silent(self) -> Iterator[None]:
        before, self._is_silent = self._is_silent, True
        try:
            yield
        finally:
            self._is_silent = before

    def _name_to_tell(self, session_key: str | None) -> str | None:
        """The name in the session as it is stored: `flush()` has emptied the one in memory."""
        key = session_key or self.session_key
        if self._is_silent or not key:
            return None
        try:
            return session_id(type(self)(key))
        except Exception:
            logger.exception("a session that ends could not be read, its sockets stay open")
            return None

    def _tell(self, name: str | None) -> None:
        from django_jackfield.rights import session_deleted

        if name:
            session_deleted(self, name)
