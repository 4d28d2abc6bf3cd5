"""What a client is refused with: the codes that the server would say to it."""

from __future__ import annotations

from django_jackfield.errors import JackfieldError


class Denied(JackfieldError):
    """The server said no. `code` is what a real client sees (docs/protocol.md, "Errors")."""

    def __init__(self, code: int, message: str, *, temporary: bool = False) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.temporary = temporary


class SubscribeDenied(Denied):
    """The client may not come into the channel."""


class PublishDenied(Denied):
    """The client may not publish there."""


class CallError(Denied):
    """A call was answered with an error."""


class Disconnected(JackfieldError):
    """The connection is over, or was refused."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class NotHandled(JackfieldError):
    """A message that no handler takes: with a real server it would be a dead letter."""


MESSAGES = {
    100: "internal server error",
    102: "unknown channel",
    103: "permission denied",
    105: "already subscribed",
    107: "bad request",
    108: "not available",
}


def denied(kind: type[Denied], code: int) -> Denied:
    """An error with the message of its code."""
    return kind(code, MESSAGES[code])
