"""A handler that books a number once, and publishes that it did."""

import time

from django_jackfield import on, publish
from django_jackfield.inbox.once import run_once
from project.ledger.models import Entry


@on("book")
def book(ctx, data):
    def once():
        Entry.objects.create(number=data["number"])
        publish("ledger", {"n": data["number"]})
        time.sleep(data.get("pause", 0))
        return {"booked": data["number"]}

    return run_once(ctx.id, once)
