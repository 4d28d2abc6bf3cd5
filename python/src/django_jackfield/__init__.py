"""Live pages for Django without ASGI: the Python side of the Jackfield socket server."""

from django_jackfield.aliases import broker, brokers
from django_jackfield.ask import (
    ahistory,
    apresence,
    apresence_stats,
    history,
    presence,
    presence_stats,
)
from django_jackfield.channel import (
    Channel,
    Principal,
    connected,
    connecting,
    disconnected,
    on,
    refreshing,
    rpc,
)
from django_jackfield.command import Command, Position
from django_jackfield.context import Context
from django_jackfield.decisions import Cached, Renewal, Rewrite, Subscription
from django_jackfield.errors import (
    AskError,
    AskTimeout,
    ClientError,
    JackfieldError,
    PublishError,
    Refuse,
)
from django_jackfield.push import (
    adisconnect,
    apublish,
    apublish_many,
    asend,
    disconnect,
    publish,
    publish_many,
    send,
)
from django_jackfield.tokens import atoken, token

__version__ = "0.1.0"

__all__ = [
    "AskError",
    "AskTimeout",
    "Cached",
    "Channel",
    "ClientError",
    "Command",
    "Context",
    "JackfieldError",
    "Position",
    "Principal",
    "PublishError",
    "Refuse",
    "Renewal",
    "Rewrite",
    "Subscription",
    "adisconnect",
    "ahistory",
    "apresence",
    "apresence_stats",
    "apublish",
    "apublish_many",
    "asend",
    "atoken",
    "broker",
    "brokers",
    "connected",
    "connecting",
    "disconnect",
    "disconnected",
    "history",
    "on",
    "presence",
    "presence_stats",
    "publish",
    "publish_many",
    "refreshing",
    "rpc",
    "send",
    "token",
]
