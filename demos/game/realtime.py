"""The channels of an arena. What is in them is made by the loop; Django has no handler here."""

from __future__ import annotations

from django_jackfield import Channel


class ArenaChannel(Channel):
    """`arena:1`: figures and sparks for pages, each of which hears the areas that it names."""

    pattern = "arena:<int:room>"
    access = "authenticated"
    delivery = "latest"
    snapshot = True
    options = {"interest": "tag:area"}


class FieldChannel(Channel):
    """`field:1`: the same of the whole arena, for bots; what they say comes here, without tags."""

    pattern = "field:<int:room>"
    access = "authenticated"
    delivery = "latest"
    options = {"allow_tags_filter": True}


class SteerChannel(Channel):
    """`steer:1`: where players want to go. They may speak; only the loop has a token to hear."""

    pattern = "steer:<int:room>"
    access = "token"
    rate = "40/s"
    options = {"allow_publish_for_client": True}
