"""Live pages for Django without ASGI: the Python side of the Jackfield socket server."""

from django_jackfield.aliases import broker, brokers
from django_jackfield.ask import (
    aask_client,
    ahistory,
    apresence,
    apresence_stats,
    ask_client,
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
    occupied,
    on,
    refreshing,
    rpc,
    subscribed,
    undelivered,
    unsubscribed,
    vacated,
)
from django_jackfield.command import Command, Position
from django_jackfield.context import Context
from django_jackfield.decisions import Cached, Renewal, Rewrite, Subscription
from django_jackfield.errors import (
    AskError,
    AskTimeout,
    ClientError,
    DiscoveryError,
    JackfieldError,
    PublishError,
    Refuse,
)
from django_jackfield.model_channel import ModelChannel
from django_jackfield.options import History
from django_jackfield.overview import (
    achannels,
    aconnections,
    anodes,
    channels,
    connections,
    nodes,
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
    "DiscoveryError",
    "History",
    "JackfieldError",
    "ModelChannel",
    "Position",
    "Principal",
    "PublishError",
    "Refuse",
    "Renewal",
    "Rewrite",
    "Subscription",
    "aask_client",
    "achannels",
    "aconnections",
    "adisconnect",
    "ahistory",
    "anodes",
    "apresence",
    "apresence_stats",
    "apublish",
    "apublish_many",
    "asend",
    "ask_client",
    "atoken",
    "broker",
    "brokers",
    "channels",
    "connected",
    "connecting",
    "connections",
    "disconnect",
    "disconnected",
    "history",
    "nodes",
    "occupied",
    "on",
    "presence",
    "presence_stats",
    "publish",
    "publish_many",
    "refreshing",
    "rpc",
    "send",
    "subscribed",
    "token",
    "undelivered",
    "unsubscribed",
    "vacated",
]
