"""Business data: a number that was booked."""

from django.db import models


class Entry(models.Model):
    number = models.BigIntegerField()

    class Meta:
        app_label = "ledger"

    def __str__(self):
        return str(self.number)
