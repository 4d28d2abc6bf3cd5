"""What is remembered: notes, and what was heard of connections."""

from django.db import models


class Note(models.Model):
    """Something a client said. `times` tells how often it was handled."""

    text = models.CharField(max_length=200, unique=True)
    user = models.CharField(max_length=100, blank=True)
    times = models.IntegerField(default=1)


class Heard(models.Model):
    """One event of a connection, in the order in which the handlers ran."""

    kind = models.CharField(max_length=20)
    client = models.CharField(max_length=36)
    user = models.CharField(max_length=100, blank=True)
    seq = models.IntegerField()
    detail = models.JSONField(null=True)
