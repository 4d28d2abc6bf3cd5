"""`manage.py demo_users`."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

from chat.models import Room

NAMES = ("ann", "bob", "cy")
TITLES = ("Lobby", "Patch bay", "Quiet corner")
PASSWORD = "jackfield"  # noqa: S105


class Command(BaseCommand):
    """Makes people and rooms to try the demo with; run again, it changes nothing."""

    help = f"Makes the users {', '.join(NAMES)} with the password {PASSWORD!r}, and rooms for them."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Makes what is missing."""
        users = [self.user(name) for name in NAMES]
        if not Room.objects.exists():
            for title in TITLES:
                Room.objects.create(title=title).members.add(*users)
        self.stdout.write(f"{', '.join(NAMES)}: password {PASSWORD!r}")

    def user(self, name: str) -> Any:
        """The user of this name."""
        users = get_user_model()._default_manager
        return users.filter(username=name).first() or users.create_user(name, password=PASSWORD)
