"""Settings of the processes that the kill tests start: a ledger, an outbox, an inbox."""

import os

from project.settings import *  # noqa: F403
from project.settings import DATABASES, INSTALLED_APPS, JACKFIELD

INSTALLED_APPS = [*INSTALLED_APPS, "project.ledger"]

if "TEST_POSTGRES_PORT" in os.environ:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": "127.0.0.1",
        "PORT": os.environ["TEST_POSTGRES_PORT"],
    }
else:
    # Who only reads first and writes then is not told "locked": it waits at the beginning.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 30,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL",
    }

outbox = os.environ.get("TEST_OUTBOX", "on")
JACKFIELD["default"] |= {
    "OUTBOX": {"on": True, "strict": "strict", "off": False}[outbox],
    "BREAKER": (3, 0.2),
}
