"""Documents that clients edit together: what the server asks of the application for them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404

from django_jackfield.errors import ClientError, EventError, Refuse

if TYPE_CHECKING:
    from django_jackfield.channel import Channel

RESERVED = "jackfield."
"""Methods whose names begin so are the server's own; no `@rpc` may take one."""
LOAD = "jackfield.document.load"
SAVE = "jackfield.document.save"
GONE = 404
"""The code of the answer about a document that is no more: another try will not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """What is stored of a document: the answer of `load_document`.

    `updates` in any order, of as many saves as there were. `upto` is any JSON that names them: a
    save that contains all of them brings it back as `replaces`. Without it nothing is replaced.
    """

    updates: Iterable[bytes] = ()
    upto: Any = None


def may_write(said: Any) -> bool:
    """What `can_publish` of a document says to a user who comes in."""
    if said is None or isinstance(said, bool):
        return bool(said)
    raise TypeError(
        f"can_publish of a document is asked when a user comes in, not of each change: it returns "
        f"True or False, not {said!r}"
    )


WITHOUT_RIGHT = (PermissionDenied, ObjectDoesNotExist, Http404, ClientError, Refuse)
"""What a rule may raise to say no."""


def granted(result: dict[str, Any], *, write: bool) -> dict[str, Any]:
    """The result of a subscribe call that says as well who may write."""
    return {**result, "override": {**result.get("override", {}), "publish": {"value": write}}}


def asked(data: Any) -> tuple[str, dict[str, Any]]:
    """The channel that a call of the server is about, and what else it says. Raises EventError."""
    if not isinstance(data, dict) or not isinstance(data.get("channel"), str):
        raise EventError("the call names no channel")
    return data["channel"], data


def loaded(said: Any) -> dict[str, Any]:
    """The answer to `LOAD`, from what `load_document` returned."""
    if isinstance(said, StoredDocument):
        updates, upto = said.updates, said.upto
    else:
        updates, upto = said, None
    if isinstance(updates, bytes | bytearray | memoryview | str | dict) or not isinstance(
        updates, Iterable
    ):
        raise TypeError(
            f"load_document returns a StoredDocument or a list of updates, each bytes; not {said!r}"
        )
    return {"updates": [_text(update) for update in updates], "upto": upto}


def update_of(data: dict[str, Any]) -> bytes:
    """The update of a `SAVE`. Raises EventError."""
    said = data.get("update")
    if not isinstance(said, str):
        raise EventError("the call has no update")
    try:
        return base64.b64decode(said, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EventError(f"the update is no base64: {error}") from error


def text_of(update: bytes) -> str:
    """Bytes as the app link has them in JSON."""
    return base64.b64encode(update).decode()


def stores(channel: type[Channel]) -> bool:
    """Whether a class has both sides of storing a document."""
    from django_jackfield.access import overrides

    return overrides(channel, "load_document") and overrides(channel, "save_document")


def _text(update: Any) -> str:
    # Why a memoryview: that is what a BinaryField holds on some databases.
    if not isinstance(update, bytes | bytearray | memoryview):
        raise TypeError(f"an update is bytes, not {update!r}")
    return text_of(bytes(update))
