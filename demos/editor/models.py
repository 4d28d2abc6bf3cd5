"""Documents, with whom they are shared, and what was saved of them: bytes, as Yjs has them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q, QuerySet
from django.urls import reverse

TITLE_LIMIT = 80
MOMENTS = 300
"""So many saves of a document can be gone back to."""


class Document(models.Model):
    """A text. Its owner shares it; what stands in it are the updates that no save has replaced."""

    title = models.CharField(max_length=TITLE_LIMIT)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="documents")
    edited = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-edited", "pk"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Where it is edited."""
        return reverse("editor:document", args=[self.pk])

    @classmethod
    def of(cls, user: Any) -> QuerySet[Document]:
        """The documents that a user may read."""
        return cls.objects.filter(Q(owner=user.pk) | Q(share__user=user.pk)).distinct()

    @classmethod
    def right_of(cls, user: Any, pk: int) -> str:
        """`own`, `write` or `read`; empty: the user has no business with it."""
        if cls.objects.filter(pk=pk, owner=user.pk).exists():
            return "own"
        shares = Share.objects.filter(document=pk, user=user.pk)
        return shares.values_list("right", flat=True).first() or ""

    def save_update(self, content: bytes, replaces: list[int] | None) -> None:
        """Stores an update. Those that it replaces are kept for those who go back in time."""
        with transaction.atomic():
            update = self.updates.create(content=content)
            if replaces:
                self.updates.live().filter(pk__in=replaces).update(replaced_by=update.pk)
            self.updates.forget()
            Document.objects.filter(pk=self.pk).update(edited=update.at)


class Share(models.Model):
    """Somebody whom the owner has let in."""

    class Right(models.TextChoices):
        """How far."""

        READ = "read"
        WRITE = "write"

    document = models.ForeignKey(Document, models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    right = models.CharField(max_length=5, choices=Right)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["document", "user"], name="shared_once")]

    def __str__(self) -> str:
        return f"{self.user_id} may {self.right} {self.document_id}"


class Updates(models.QuerySet["Update"]):
    """The updates of a document."""

    def live(self) -> Updates:
        """Those that make the document, in any order."""
        return self.filter(replaced_by=None)

    def at(self, moment: int) -> Updates:
        """Those that made it when the save `moment` was the last: not replaced, or later."""
        lasted = Q(replaced_by=None) | Q(replaced_by__gt=moment)
        return self.filter(lasted, pk__lte=moment)

    def moments(self) -> Updates:
        """The saves that one can go back to, the newest first."""
        return self.order_by("-pk")[:MOMENTS]

    def forget(self) -> None:
        """Deletes what no moment needs any more."""
        oldest = self.order_by("-pk")[MOMENTS - 1 : MOMENTS].first()
        if oldest is not None:
            self.filter(replaced_by__lte=oldest.pk).delete()


class Update(models.Model):
    """A part of a document, as the server saved it.

    `replaced_by` is the key of a later one that contains it (compaction).
    """

    document = models.ForeignKey(Document, models.CASCADE, related_name="updates")
    content = models.BinaryField()
    at = models.DateTimeField(auto_now_add=True)
    replaced_by = models.PositiveBigIntegerField(null=True)

    objects = Updates.as_manager()

    class Meta:
        indexes = [models.Index(F("document"), F("replaced_by"), name="live_updates")]

    def __str__(self) -> str:
        return f"{len(self.content)} bytes of {self.document_id}"
