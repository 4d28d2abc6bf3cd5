"""Tests without a server: fake clients, and what they may be refused."""

from django_jackfield.testing.client import JackfieldClient
from django_jackfield.testing.documents import load_document, save_document
from django_jackfield.testing.errors import (
    CallError,
    Denied,
    Disconnected,
    NotHandled,
    PublishDenied,
    SubscribeDenied,
)
from django_jackfield.testing.received import Received

__all__ = [
    "CallError",
    "Denied",
    "Disconnected",
    "JackfieldClient",
    "NotHandled",
    "PublishDenied",
    "Received",
    "SubscribeDenied",
    "load_document",
    "save_document",
]
