"""A queue that takes connections and says nothing: what a request pays, counted in attempts."""

import logging
import signal
import socket
import threading

import pytest

from django_jackfield import PublishError, brokers, publish


class BlackHole:
    """A port that accepts and is silent, and how many came."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.came = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                self.came.append(self.socket.accept()[0])
            except OSError:
                return

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for one in self.came:
            one.close()


@pytest.fixture
def hole():
    one = BlackHole()
    yield one
    one.close()


@pytest.fixture
def attempts(monkeypatch):
    """How often the driver was asked to send."""
    made = []

    def watch(backend):
        send = backend._send

        def counted(self, commands):
            made.append(len(commands))
            send(self, commands)

        monkeypatch.setattr(backend, "_send", counted)
        return made

    return watch


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_a_black_hole_is_tried_once(kind, hole, attempts, settings, caplog):
    backend, url = {
        "redis": ("redis.RedisBackend", f"redis://127.0.0.1:{hole.port}/0"),
        "rabbitmq": ("rabbitmq.RabbitMQBackend", f"amqp://guest:guest@127.0.0.1:{hole.port}/"),
    }[kind]
    settings.JACKFIELD = {
        "default": {
            "BACKEND": f"django_jackfield.backends.{backend}",
            "OPTIONS": {"url": url},
            "TIMEOUT": 0.2,
            # Whatever the pause is, the attempts in it are counted.
            "BREAKER": (3, 3600),
        }
    }
    made = attempts(type(brokers["default"]))
    for n in range(20):
        publish("room:1", n)
    assert made == [1]
    assert len(hole.came) == 1
    with pytest.raises(PublishError, match="BREAKER"):
        publish("room:1", 20, on_commit=False)
    assert made == [1]
    errors = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert len([one for one in errors if one.name == "django_jackfield"]) == 20


@pytest.mark.django_db(transaction=True)
def test_a_frozen_redis_is_tried_once_and_found_again(redis_server, redis_queue, use, attempts):
    redis_queue.server, redis_queue.url = redis_server, redis_server.url
    # Long enough for a Redis that only waits for its turn on the processor.
    use(redis_queue, TIMEOUT=2.0, BREAKER=(3, 3600))
    made = attempts(type(brokers["default"]))
    publish("room:1", "warm", on_commit=False)
    made.clear()
    redis_server.signal(signal.SIGSTOP)
    try:
        for n in range(20):
            publish("room:1", n)
        assert made == [1]
    finally:
        redis_server.signal(signal.SIGCONT)
    # The pause is over: one attempt is let through, and it closes the breaker.
    brokers["default"].breaker._open_until = 0.001
    publish("room:1", "trial", on_commit=False)
    publish("room:1", "after", on_commit=False)
    assert made == [1, 1, 1]


@pytest.mark.django_db(transaction=True)
def test_with_the_outbox_an_outage_costs_rows_and_no_attempts(hole, attempts, settings):
    from django.db import transaction

    from django_jackfield.outbox.models import WaitingCommand

    settings.JACKFIELD = {
        "default": {
            "BACKEND": "django_jackfield.backends.redis.RedisBackend",
            "OPTIONS": {"url": f"redis://127.0.0.1:{hole.port}/0"},
            "TIMEOUT": 0.2,
            "BREAKER": (3, 3600),
            "OUTBOX": True,
        }
    }
    made = attempts(type(brokers["default"]))
    for n in range(10):
        with transaction.atomic():
            publish("room:1", n)
    assert made == [1]
    assert WaitingCommand.objects.count() == 10
