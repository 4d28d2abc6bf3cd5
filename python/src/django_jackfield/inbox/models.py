"""The table of the inbox."""

from __future__ import annotations

from datetime import datetime

from django.db import models


class HandledEvent(models.Model):
    """An event whose handler has committed, and what it replied."""

    event_id: models.CharField[str, str] = models.CharField(max_length=255, primary_key=True)
    reply: models.TextField[str, str] = models.TextField(default="null")
    handled_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "jackfield_inbox"
        verbose_name = "handled event"

    def __str__(self) -> str:
        return self.event_id
