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
    refreshing,
    subscribed,
    undelivered,
    unsubscribed,
    vacated,
)
from django_jackfield.command import Command, Position
from django_jackfield.context import Context
from django_jackfield.decisions import Cached, Renewal, Rewrite, Subscription
from django_jackfield.documents import StoredDocument
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
from django_jackfield.overview import achannels, anodes, channels, nodes
from django_jackfield.push import (
    apublish,
    apublish_many,
    asend,
    publish,
    publish_many,
    send,
)
from django_jackfield.rechecks import arecheck, recheck
from django_jackfield.revoke import adisconnect, disconnect
from django_jackfield.rules import Rate, on, rpc
from django_jackfield.subscriptions import asubscribe, aunsubscribe, subscribe, unsubscribe
from django_jackfield.tokens import asubscription_token, atoken, subscription_token, token
from django_jackfield.who import (
    Connection,
    aconnections,
    ais_online,
    aonline_users,
    apresence_count,
    connections,
    is_online,
    online_users,
    presence_count,
)

__version__ = "0.1.0"

__all__ = [
    "AskError",
    "AskTimeout",
    "Cached",
    "Channel",
    "ClientError",
    "Command",
    "Connection",
    "Context",
    "DiscoveryError",
    "History",
    "JackfieldError",
    "ModelChannel",
    "Position",
    "Principal",
    "PublishError",
    "Rate",
    "Refuse",
    "Renewal",
    "Rewrite",
    "StoredDocument",
    "Subscription",
    "aask_client",
    "achannels",
    "aconnections",
    "adisconnect",
    "ahistory",
    "ais_online",
    "anodes",
    "aonline_users",
    "apresence",
    "apresence_count",
    "apresence_stats",
    "apublish",
    "apublish_many",
    "arecheck",
    "asend",
    "ask_client",
    "asubscribe",
    "asubscription_token",
    "atoken",
    "aunsubscribe",
    "broker",
    "brokers",
    "channels",
    "connected",
    "connecting",
    "connections",
    "disconnect",
    "disconnected",
    "history",
    "is_online",
    "nodes",
    "occupied",
    "on",
    "online_users",
    "presence",
    "presence_count",
    "presence_stats",
    "publish",
    "publish_many",
    "recheck",
    "refreshing",
    "rpc",
    "send",
    "subscribe",
    "subscribed",
    "subscription_token",
    "token",
    "undelivered",
    "unsubscribe",
    "unsubscribed",
    "vacated",
]
