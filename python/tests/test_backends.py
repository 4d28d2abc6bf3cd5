"""Backends against a real Redis and a real RabbitMQ."""

import json
import os
import signal
import socket
import threading
import time

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_jackfield import (
    AskError,
    AskTimeout,
    PublishError,
    brokers,
    disconnect,
    history,
    presence,
    presence_stats,
    publish,
    publish_many,
    send,
)
from django_jackfield.command import publication
from servers import free_port, until
from workers import declared


class RedisEye:
    """Reads commands as the server would."""

    def __init__(self, queue):
        import redis

        self.prefix = queue.prefix
        self.client = redis.Redis.from_url(queue.url, protocol=2)

    def commands(self, count):
        return until(lambda: self._at_least(count), what=f"{count} commands")

    def _at_least(self, count):
        found = []
        for partition in range(8):
            for _, fields in self.client.xrange(f"{{{self.prefix}:{partition}}}:commands"):
                one = {k.decode(): v.decode() for k, v in fields.items()}
                found.append((partition, one["id"], one["method"], json.loads(one["payload"])))
        return found if len(found) >= count else None

    def answer_one(self, result):
        found = until(self._asks, what="an ask")
        _, fields = found[0]
        reply = {"v": 1, "id": fields[b"id"].decode()} | result
        self.client.rpush(fields[b"reply_to"], json.dumps(reply))
        return fields

    def _asks(self):
        keys = [f"{{{self.prefix}:{partition}}}:commands" for partition in range(8)]
        return [e for key in keys for e in self.client.xrange(key) if b"reply_to" in e[1]]

    def close(self):
        self.client.close()


class RabbitEye:
    """Reads commands as the server would."""

    def __init__(self, queue):
        self.prefix = queue.prefix
        _, self.connection, self.channel = declared(queue)
        self.found = []
        for partition in range(8):
            self.channel.basic_consume(f"{self.prefix}.commands.{partition}", self._arrived)

    def _arrived(self, channel, method, properties, body):
        assert properties.delivery_mode == 2
        self.found.append((int(method.routing_key), properties, body))
        channel.basic_ack(method.delivery_tag)

    def _wait(self, count):
        def enough():
            self.connection.process_data_events(0.1)
            return len(self.found) >= count

        until(enough, what=f"{count} commands")

    def commands(self, count):
        self._wait(count)
        return [(p, one.message_id, one.type, json.loads(body)) for p, one, body in self.found]

    def answer_one(self, result):
        import pika

        self._wait(1)
        _, properties, _ = self.found[0]
        reply = {"v": 1, "id": properties.message_id} | result
        self.channel.basic_publish(
            "",
            properties.reply_to,
            json.dumps(reply).encode(),
            pika.BasicProperties(correlation_id=properties.correlation_id),
        )
        self.connection.process_data_events(0)

    def close(self):
        self.connection.close()


@pytest.fixture
def eye(queue, use):
    use(queue)
    watcher = {"redis": RedisEye, "rabbitmq": RabbitEye}[queue.kind](queue)
    yield watcher
    watcher.close()


def test_commands_arrive_in_their_partition(eye):
    publish("room:1", {"text": "hi"}, on_commit=False, id="one")
    publish(["room:1", "room:2"], [1, 2], on_commit=False)
    send(user=42, data={"n": 1}, on_commit=False)
    disconnect(client="6b7f3a52-64c3-4f1e-9a51-7f6c8f6c3b51", on_commit=False)
    many = publish_many([("a", 1), ("b", None, {"text": "x"}), ("c", b"\0")], on_commit=False)
    found = eye.commands(7)
    assert len(found) == 7
    assert (0, "one", "publish", {"channel": "room:1", "data": {"text": "hi"}}) in found
    assert (2, "disconnect") in [(partition, method) for partition, _, method, _ in found]
    assert {one.id for one in many} <= {id for _, id, _, _ in found}


def answering(eye, result):
    """Answers the next ask in a thread."""
    thread = threading.Thread(target=eye.answer_one, args=[result])
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("ask", "result", "wanted"),
    [
        (presence, {"presence": {"c": {"user": "1"}}}, {"c": {"user": "1"}}),
        (presence_stats, {"num_clients": 2, "num_users": 1}, {"num_clients": 2, "num_users": 1}),
        (history, {"publications": []}, {"publications": []}),
    ],
)
def test_asks_wait_for_the_reply(eye, ask, result, wanted):
    thread = answering(eye, {"result": result})
    assert ask("room:1", timeout=20) == wanted
    thread.join()


def test_an_error_reply_is_raised(eye):
    thread = answering(eye, {"error": {"code": 108, "message": "not available"}})
    with pytest.raises(AskError, match="not available") as caught:
        history("room:1", timeout=20)
    assert caught.value.code == 108
    thread.join()


def test_an_ask_that_nobody_answers_ends(eye):
    publish("warm", 1, on_commit=False)
    with pytest.raises(AskTimeout, match="PARTITIONS"):
        presence("room:1", timeout=0.2)


def test_refused_connections_open_the_breaker_after_three_and_it_half_opens(
    redis_queue, settings, use
):
    settings.JACKFIELD = outage_setting("redis", free_port(), BREAKER=(3, 0.2))
    for _ in range(3):
        with pytest.raises(PublishError, match="does not take"):
            publish("room:1", 1, on_commit=False)
    with pytest.raises(PublishError, match="a moment ago"):
        publish("room:1", 1, on_commit=False)
    until(brokers["default"].breaker.allows, what="the trial")
    assert not brokers["default"].breaker.allows()
    brokers["default"].breaker.succeeded()
    assert brokers["default"].breaker.allows()


def outage_setting(kind, port, **more):
    path = {
        "redis": "django_jackfield.backends.redis.RedisBackend",
        "rabbitmq": "django_jackfield.backends.rabbitmq.RabbitMQBackend",
    }[kind]
    url = f"redis://127.0.0.1:{port}/0" if kind == "redis" else f"amqp://127.0.0.1:{port}/"
    return {"default": {"BACKEND": path, "OPTIONS": {"url": url}} | more}


def test_rabbitmq_sends_again_over_a_new_connection(rabbitmq_queue, use):
    """What every idle WSGI process meets: the broker closed the connection long ago."""
    use(rabbitmq_queue)
    publish("room:1", 1, on_commit=False)
    link = brokers["default"].link()
    link.connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)
    publish("room:1", 2, on_commit=False, id="again")
    assert brokers["default"].link() is not link
    brokers["default"].link().channel.close()
    publish("room:1", 3, on_commit=False)
    eye = RabbitEye(rabbitmq_queue)
    assert [payload["data"] for *_, payload in eye.commands(3)] == [1, 2, 3]
    eye.close()


def test_rabbitmq_frozen_in_mid_connection_costs_one_timeout(request, use):
    from conftest import Queue

    server = request.getfixturevalue("rabbitmq_server")
    queue = Queue("rabbitmq", server.url, server)
    use(queue, TIMEOUT=2.0, BREAKER=(3, 60.0))
    publish("room:1", 1, on_commit=False)
    server.signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        with pytest.raises(PublishError):
            publish("room:1", 2, on_commit=False)
        assert time.monotonic() - start < 30, "it waited for RabbitMQ"
    finally:
        server.signal(signal.SIGCONT)
        until(server.answers, what="rabbitmq")


def test_a_fork_has_connections_of_its_own(eye, queue):
    publish("room:1", "parent", on_commit=False)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            publish("room:1", "child", on_commit=False)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    publish("room:1", "parent again", on_commit=False)
    assert sorted(payload["data"] for *_, payload in eye.commands(3)) == [
        "child",
        "parent",
        "parent again",
    ]


def test_nothing_is_opened_before_the_first_command(settings):
    settings.JACKFIELD = outage_setting("redis", 1)
    assert brokers["default"].config.alias == "default"
    settings.JACKFIELD = outage_setting("rabbitmq", 1)
    assert brokers["default"].topology.commands == "jackfield.commands"


def test_embedded_is_redis_at_the_port_of_the_server(settings):
    settings.JACKFIELD = {"default": {"OPTIONS": {"port": 9999}}}
    assert brokers["default"].url == "redis://127.0.0.1:9999/0"
    settings.JACKFIELD = {"default": {}}
    assert brokers["default"].url == "redis://127.0.0.1:8402/0"


def test_a_full_redis_refuses_and_loses_nothing(redis_queue, settings):
    settings.JACKFIELD = redis_queue.setting(OPTIONS={"url": redis_queue.url, "max_backlog": 3})
    watcher = RedisEye(redis_queue)
    for number in range(3):
        publish("room:1", number, on_commit=False)
    with pytest.raises(PublishError, match="is full: 3 commands wait in partition"):
        publish("room:1", 3, on_commit=False)
    with pytest.raises(PublishError, match="max_backlog"):
        publish_many([("room:1", 3)], on_commit=False)
    publish("room:2", "another partition", on_commit=False)
    found = watcher.commands(4)
    assert [payload["data"] for *_, payload in found if payload["channel"] == "room:1"] == [0, 1, 2]
    partition = next(
        partition for partition, *_, payload in found if payload["channel"] == "room:1"
    )
    key = f"{{{redis_queue.prefix}:{partition}}}:commands"
    watcher.client.xtrim(key, maxlen=2, approximate=False)
    publish("room:1", 4, on_commit=False)
    with pytest.raises(PublishError, match="is full"):
        publish("room:1", 5, on_commit=False)
    watcher.close()
    brokers.close_all()


def test_a_backlog_is_a_number(settings):
    settings.JACKFIELD = {"default": {"OPTIONS": {"max_backlog": "many"}}}
    with pytest.raises(ImproperlyConfigured, match="max_backlog"):
        brokers["default"].close()


def test_console_and_dummy(settings, capsys):
    path = "django_jackfield.backends.{0}.{1}Backend"
    settings.JACKFIELD = {
        "default": {"BACKEND": path.format("console", "Console")},
        "none": {"BACKEND": path.format("dummy", "Dummy")},
    }
    publish("room:1", {"n": 1})
    publish("room:1", {"n": 2}, via="none")
    said = capsys.readouterr().out
    assert said == f"jackfield publish {publication('room:1', {'n': 1}).payload.decode()}\n"
