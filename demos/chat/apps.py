"""The app config."""

from typing import Any

from django.apps import AppConfig

TITLES = ("Lobby", "Patch bay", "Quiet corner")


class ChatConfig(AppConfig):
    """Rooms and the messages in them."""

    name = "chat"

    def seed(self, users: list[Any]) -> None:
        """Rooms for the users of the demo; the first of them looks after each."""
        from chat.models import Membership, Room

        if Room.objects.exists():
            return
        for title in TITLES:
            room = Room.objects.create(title=title)
            for user in users:
                Membership.objects.create(room=room, user=user, is_moderator=user == users[0])
