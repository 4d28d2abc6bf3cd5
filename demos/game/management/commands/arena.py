"""`manage.py arena`."""

import os
import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from demo import link
from game.arena import ROUND_SECONDS
from game.loop import Loop


class Command(BaseCommand):
    """Runs the arena. One process: two would each move the same figures."""

    help = "Runs the arena of the game, beside the worker. There is to be one."

    def add_arguments(self, parser: CommandParser) -> None:
        """How long a round lasts, and where the server is."""
        seconds = float(os.environ.get("GAME_ROUND") or ROUND_SECONDS)
        parser.add_argument(
            "--round", type=float, default=seconds, help="seconds of a round (%(default)s)"
        )
        parser.add_argument(
            "--port", type=int, default=link.tcp_port("lines"), help="lines of JSON (%(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Until SIGTERM or Ctrl-C."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            Loop(options["port"], options["round"]).run()
        except KeyboardInterrupt:
            sys.exit(0)
