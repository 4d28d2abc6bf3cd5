"""Orders, which the board shows as they come."""

from django.conf import settings
from django.db import models


class Order(models.Model):
    """Something that somebody ordered."""

    what = models.CharField(max_length=100)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)

    def __str__(self):
        return self.what
