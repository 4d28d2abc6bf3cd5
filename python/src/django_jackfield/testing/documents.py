"""What the server asks of the application for a document, in the process of the test."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from django_jackfield.command import new_id
from django_jackfield.dispatch import Dispatcher
from django_jackfield.documents import LOAD, SAVE, StoredDocument, text_of
from django_jackfield.event import Event
from django_jackfield.serialise import to_json
from django_jackfield.testing.commit import as_if_committed
from django_jackfield.testing.errors import CallError
from django_jackfield.testing.server import FakeServer, server


def load_document(
    channel: str, *, via: str = "default", server: FakeServer = server
) -> StoredDocument:
    """What a server is told that opens a document. Raises CallError, or what the class raised."""
    said = _called(LOAD, {"channel": channel}, via, server)
    updates = [base64.b64decode(update) for update in said["updates"]]
    return StoredDocument(updates=updates, upto=said["upto"])


def save_document(
    channel: str,
    update: bytes,
    replaces: Any = None,
    *,
    via: str = "default",
    server: FakeServer = server,
) -> None:
    """Saves an update, as a server does while a document is edited.

    `replaces` is the `upto` of what `load_document` gave, where the update contains all of that.
    """
    data = {"channel": channel, "update": text_of(update), "replaces": replaces}
    _called(SAVE, data, via, server)


def _called(method: str, data: dict[str, Any], via: str, server: FakeServer) -> dict[str, Any]:
    now = int(time.time() * 1000)
    event = Event.from_fields(
        {
            "v": "1",
            "id": new_id(),
            "type": "rpc",
            "event": method,
            "node": "locmem",
            "time": str(now),
            "call": "1",
            "deadline": str(now + 10_000),
            "reply_to": "locmem",
            "content": "json",
            "data": to_json(data),
        }
    )
    with as_if_committed():
        outcome = Dispatcher(server.registry, via).handle(event)
    said = json.loads(outcome.answer or b"{}")
    if "error" in said:
        if outcome.error is not None:
            raise outcome.error
        error = said["error"]
        raise CallError(error["code"], error["message"], temporary=error.get("temporary", False))
    result: dict[str, Any] = said["result"]["data"]
    return result
