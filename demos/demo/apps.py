"""The project as an app: the list of the applications, and what all of them share."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Templates, styles, and the users to try things with."""

    name = "demo"
