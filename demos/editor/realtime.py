"""Who reads and writes a document, what is stored of it, and what its pages are told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_jackfield import Channel, StoredDocument, Subscription, recheck, send

from editor.models import Document


class DocumentChannel(Channel):
    """`doc:7`: browsers edit it by Yjs, the server merges, Django decides and stores."""

    pattern = "doc:<int:pk>"
    document = "yjs"
    presence = True

    def can_subscribe(self, user: Any, pk: int) -> Subscription | bool:
        """Whoever has a right, under the name that Django knows."""
        return bool(Document.right_of(user, pk)) and Subscription(
            info={"name": user.get_username()}
        )

    def can_publish(self, user: Any, pk: int) -> bool:
        """The owner, and whom the owner lets write."""
        return Document.right_of(user, pk) in ("own", "write")

    def load_document(self, pk: int) -> StoredDocument:
        """What was saved and not replaced."""
        rows = dict(Document.objects.get(pk=pk).updates.live().values_list("pk", "content"))
        return StoredDocument(updates=rows.values(), upto=list(rows))

    def save_document(self, update: bytes, replaces: list[int] | None, pk: int) -> None:
        """One row more; or one instead of those that were loaded."""
        Document.objects.get(pk=pk).save_update(update, replaces)


def rights_changed(document: int, users: Iterable[Any]) -> None:
    """Acts on sockets that are open, and tells the pages: both when the transaction commits."""
    for user in users:
        recheck(user=user, channel=DocumentChannel.name(document))
    tell(document, users)


def tell(document: int, users: Iterable[Any]) -> None:
    """Makes the pages of these users ask Django about a document again."""
    for user in users:
        send(user=user, data={"event": "document", "data": document})
