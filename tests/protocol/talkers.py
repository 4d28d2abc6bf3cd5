"""What every client of the protocol does, whatever carries it: matches replies, collects pushes, answers pings."""

from __future__ import annotations

import itertools
import time
from typing import Any

from serving import PATIENCE


class Talker:
    """A client of the protocol; `send` and `step` belong to what carries it."""

    def __init__(self, *, pongs: bool = True):
        self.ids = itertools.count(1)
        self.pongs = pongs
        self.pings = 0
        self.pushes: list[dict[str, Any]] = []
        self.replies: dict[int, dict[str, Any]] = {}
        self.end: tuple[int, str] | None = None

    def send(self, *commands: dict[str, Any]) -> None:
        raise NotImplementedError

    def step(self) -> bool:
        """Takes one frame; False once the server has closed."""
        raise NotImplementedError

    def take(self, message: dict[str, Any]) -> None:
        """Puts one message where it belongs."""
        if message == {}:
            self.pings += 1
            if self.pongs:
                self.send({})
        elif "disconnect" in message.get("push", {}):
            said = message["push"]["disconnect"]
            self.end = said["code"], said.get("reason", "")
        elif "push" in message:
            self.pushes.append(message["push"])
        else:
            self.replies[message["id"]] = message

    def ask(self, **request: Any) -> int:
        """Sends a command without waiting for its reply; its id."""
        number = next(self.ids)
        self.send({"id": number, **request})
        return number

    def reply(self, number: int) -> dict[str, Any]:
        while number not in self.replies:
            assert self.step(), f"closed with {self.end} before the reply to {number}"
        return self.replies.pop(number)

    def command(self, **request: Any) -> dict[str, Any]:
        return self.reply(self.ask(**request))

    def result(self, **request: Any) -> dict[str, Any]:
        """The result of a command that must not fail."""
        (name,) = request
        answer = self.command(**request)
        assert name in answer, f"{request} was answered with {answer}"
        return answer[name]

    def error(self, **request: Any) -> tuple[int, str]:
        """Code and message of the error that a command must end in."""
        answer = self.command(**request)
        assert "error" in answer, f"{request} was answered with {answer}"
        return answer["error"]["code"], answer["error"]["message"]

    def push(self) -> dict[str, Any]:
        while not self.pushes:
            assert self.step(), f"closed with {self.end} before a push"
        return self.pushes.pop(0)

    def closed(self) -> tuple[int, str]:
        """Reads on to the end, answering pings."""
        until = time.monotonic() + PATIENCE
        while self.step():
            assert time.monotonic() < until, "the server goes on talking and does not close"
        assert self.end is not None, "the server closed without a word"
        return self.end
