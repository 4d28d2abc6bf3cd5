"""The app config."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """Rooms and the messages in them."""

    name = "chat"
