"""What pages are told of the market. Quotes and orders the server reads from the feed itself."""

from __future__ import annotations

from django_jackfield import Channel


class Quotes(Channel):
    """`quotes:all`, the last trade of each symbol, and `quotes:trend`, what was before it.

    A page hears the symbols that it names, each at most ten times a second, and begins with
    their last values.
    """

    pattern = "quotes:<slug:board>"
    access = "authenticated"
    delivery = "sampled:10"
    snapshot = True
    options = {"interest": "key"}


class Depth(Channel):
    """`depth:KEMT`: all orders around a price, as the difference to the time before."""

    pattern = "depth:<slug:symbol>"
    access = "authenticated"
    delivery = "latest"
    snapshot = True
    options = {"allowed_delta_types": ["fossil"], "delta_publish": True}


class FeedChannel(Channel):
    """`feed:state`: each second, how the feed is."""

    pattern = "feed:state"
    access = "authenticated"
    delivery = "latest"
    snapshot = True
