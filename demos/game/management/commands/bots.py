"""`manage.py bots`."""

import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from demo import link
from game.bots import play


class Command(BaseCommand):
    """Lets bots play."""

    help = "Lets bots play in the arena: each is a TCP connection that speaks twelve bytes."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """How many, and when."""
        parser.add_argument("--count", type=int, default=20, help="how many (%(default)s)")
        parser.add_argument(
            "--company", action="store_true", help="only while a person is in the arena"
        )
        parser.add_argument(
            "--port", type=int, default=link.tcp_port("bots"), help="where (%(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Until SIGTERM or Ctrl-C."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            play(options["port"], options["count"], company=options["company"])
        except KeyboardInterrupt:
            sys.exit(0)
