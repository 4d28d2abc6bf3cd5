"""What can go wrong, by name."""

from __future__ import annotations


class JackfieldError(Exception):
    """The root of the errors of this package."""


class PublishError(JackfieldError):
    """A command did not reach the queue."""


class AskError(JackfieldError):
    """The server answered an ask with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class AskTimeout(JackfieldError, TimeoutError):
    """Nobody answered an ask in time."""


class EventError(JackfieldError):
    """An event that does not follow the contract of the app link."""


class DiscoveryError(JackfieldError):
    """A realtime.py cannot be imported."""


class UnhandledEvent(JackfieldError):
    """An event that no function of any realtime.py takes."""


class ClientError(JackfieldError):
    """Raised by a handler of a call: the client gets this code and message.

    The same question of the same user gets it again for `cache_for` seconds, without a call.
    """

    def __init__(
        self, code: int, message: str, *, temporary: bool = False, cache_for: int | None = None
    ) -> None:
        if not 400 <= code <= 1999:
            raise ValueError(f"ClientError code {code}: use 400 to 1999, the app's own range")
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.temporary = temporary
        self.cache_for = cache_for


class Refuse(JackfieldError):
    """Raised by a handler of a call: the client is disconnected with this code and reason."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{reason} ({code})")
        self.code = checked_close_code(code)
        self.reason = reason


def checked_close_code(code: int) -> int:
    """The code, if a server may close a connection with it."""
    if not 3000 <= code <= 4999:
        raise ValueError(
            f"close code {code}: use 4000 to 4999 (the app's own) or 3000 to 3999 (Jackfield's)"
        )
    return code
