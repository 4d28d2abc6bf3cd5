"""The web process of the kill tests: commits numbers and publishes them, rolls some back."""

import os
import random
import signal
import time

from django.core.management.base import BaseCommand
from django.db import transaction

from django_jackfield import brokers, publish, publish_many
from project.ledger.models import Entry


class Rollback(Exception):
    """Meant to happen."""


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--start", type=int, required=True)
        parser.add_argument("--count", type=int, default=10_000_000)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--pause", type=float, default=0.0)
        parser.add_argument("--die", choices=("before", "after"), help="at the send of --at")
        parser.add_argument("--at", type=int, default=0)

    def handle(self, *, start, count, seed, pause, die, at, **options):
        rng = random.Random(seed)
        if die:
            deadly(die, at)
        number = start
        while number < start + count:
            some = rng.choice((1, 1, 1, 2, 5))
            try:
                with transaction.atomic():
                    numbers = range(number, number + some)
                    Entry.objects.bulk_create(Entry(number=one) for one in numbers)
                    if some == 1:
                        publish("ledger", {"n": number})
                    else:
                        publish_many(("ledger", {"n": one}) for one in numbers)
                    if rng.random() < 0.15:
                        raise Rollback
            except Rollback:
                pass
            number += some
            if pause:
                time.sleep(pause)


def deadly(when, at):
    """The process kills itself just before, or just after, the send number `at`."""
    backend = type(brokers["default"])
    send, sends = backend.send, 0

    def counted(self, commands):
        nonlocal sends
        sends += 1
        if sends == at and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        send(self, commands)
        if sends == at:
            os.kill(os.getpid(), signal.SIGKILL)

    backend.send = counted
