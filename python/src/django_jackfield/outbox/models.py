"""The tables of the outbox."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from django_jackfield.command import Command


class WaitingCommand(models.Model):
    """A command that belongs to a transaction and is not known to be in the queue.

    `id` counts insertions: of two transactions, the second of which began when the first had
    committed, the first has the smaller ids.
    """

    id: models.BigAutoField[int, int] = models.BigAutoField(primary_key=True)
    via: models.CharField[str, str] = models.CharField(max_length=100)
    command_id: models.CharField[str, str] = models.CharField(max_length=255)
    method: models.CharField[str, str] = models.CharField(max_length=64)
    key: models.TextField[str, str] = models.TextField(blank=True)
    payload: models.BinaryField[bytes, bytes] = models.BinaryField()
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    class Meta:
        db_table = "jackfield_outbox"
        verbose_name = "waiting command"

    def __str__(self) -> str:
        return f"{self.method} {self.command_id}"

    @property
    def command(self) -> Command:
        """The command as it was when it was made: the same id, so the server knows it again."""
        return Command(self.method, bytes(self.payload), self.key, self.command_id)


class Leader(models.Model):
    """A row that whoever relays an alias in strict order holds locked while it does."""

    via: models.CharField[str, str] = models.CharField(max_length=100, primary_key=True)

    class Meta:
        db_table = "jackfield_outbox_leader"
        verbose_name = "leader"

    def __str__(self) -> str:
        return self.via
