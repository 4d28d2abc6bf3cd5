"""`manage.py demo_users`."""

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

NAMES = ("ann", "bob", "cy")
PASSWORD = "jackfield"  # noqa: S105


class Command(BaseCommand):
    """Makes people to try the demos with, and what each app begins with: its `seed(users)`.

    Run again, it changes nothing.
    """

    help = f"Makes the users {', '.join(NAMES)} with the password {PASSWORD!r}, and data for them."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Makes what is missing."""
        users = [self.user(name) for name in NAMES]
        for app in apps.get_app_configs():
            if seed := getattr(app, "seed", None):
                seed(users)
        self.stdout.write(f"{', '.join(NAMES)}: password {PASSWORD!r}")

    def user(self, name: str) -> Any:
        """The user of this name."""
        users = get_user_model()._default_manager
        return users.filter(username=name).first() or users.create_user(name, password=PASSWORD)
