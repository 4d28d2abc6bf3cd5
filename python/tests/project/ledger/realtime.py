"""A handler that books a number once, and publishes that it did."""

import time

from django_jackfield import on, publish
from project.ledger.models import Entry


@on("book", once=True)
def book(ctx, data):
    Entry.objects.create(number=data["number"])
    publish("ledger", {"n": data["number"]})
    time.sleep(data.get("pause", 0))
