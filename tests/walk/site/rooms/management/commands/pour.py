"""Publishes numbers into rooms, one thread for each room, until the queue has taken every one of them."""

import threading
import time

from django.core.management.base import BaseCommand

from django_jackfield import JackfieldError, publish


class Command(BaseCommand):
    """`pour NUMBERS ROOM ROOM...` prints a JSON line at the end: how often it tried again."""

    def add_arguments(self, parser):
        parser.add_argument("numbers", type=int)
        parser.add_argument("rooms", type=int, nargs="+")
        parser.add_argument("--run", default="run", help="makes the ids of this run its own")

    def handle(self, *args, numbers, rooms, run, **options):
        """Pours."""
        again = []

        def pour(room):
            for number in range(1, numbers + 1):
                while True:
                    try:
                        publish(f"room:{room}", {"n": number}, id=f"{run}-{room}-{number}", on_commit=False)
                        break
                    except JackfieldError:
                        again.append(number)
                        time.sleep(0.02)

        threads = [threading.Thread(target=pour, args=(room,)) for room in rooms]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.stdout.write(f"poured {numbers * len(rooms)} again {len(again)}")
