"""The app config."""

from django.apps import AppConfig


class MarketConfig(AppConfig):
    """A made-up exchange, its feed, and a page that follows as much of it as is on the screen."""

    name = "market"
