"""The app config."""

from django.apps import AppConfig


class GameConfig(AppConfig):
    """An arena, and what was reached in it."""

    name = "game"
