from django.conf import settings
from django.db import models


class Room(models.Model):
    title = models.CharField(max_length=50)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="rooms")

    def __str__(self) -> str:
        return self.title


class Board(models.Model):
    title = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.title


class Message(models.Model):
    room = models.ForeignKey(Room, models.CASCADE)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.CharField(max_length=2000)

    def __str__(self) -> str:
        return self.text

    def as_dict(self) -> dict:
        return {"id": self.pk, "text": self.text}
