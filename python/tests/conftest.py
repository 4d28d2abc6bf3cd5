"""Fixtures: a private Redis and RabbitMQ, or those of the environment."""

import os
import shutil
import uuid

import pytest

from servers import RabbitMQ, Redis, rabbitmq_script

REDIS = "django_jackfield.backends.redis.RedisBackend"
RABBITMQ = "django_jackfield.backends.rabbitmq.RabbitMQBackend"


KINDS = ("embedded", "redis", "rabbitmq")


def pytest_configure(config):
    for kind in KINDS:
        config.addinivalue_line("markers", f"{kind}: which cell of scripts/matrix")


def pytest_collection_modifyitems(items):
    """Marks each test with the queue that it needs; `embedded` where it needs none of ours."""
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        words = [*item.fixturenames, *(one for one in params if isinstance(one, str))]
        told = [kind for kind in KINDS if any(word.split("_")[0] == kind for word in words)]
        item.add_marker(told[-1] if told else "embedded")


class Queue:
    """A queue as the tests see it: where it is, and the server if it is ours to kill."""

    def __init__(self, kind, url, server=None):
        self.kind = kind
        self.url = url
        self.server = server
        self.backend = {"redis": REDIS, "rabbitmq": RABBITMQ}[kind]
        self.prefix = f"t{uuid.uuid4().hex[:8]}"

    def setting(self, **more):
        return {
            "default": {
                "BACKEND": self.backend,
                "OPTIONS": {"url": self.url},
                "PREFIX": self.prefix,
                "KEYS": ["a-test-key"],
                # Of several brokers on a busy machine one may take its time.
                "TIMEOUT": 5.0,
            }
            | more
        }


def _private(kind):
    server = {"redis": Redis, "rabbitmq": RabbitMQ}[kind]()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def redis_server():
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed and JACKFIELD_TEST_REDIS_URL is not set")
    yield from _private("redis")


@pytest.fixture(scope="session")
def rabbitmq_server():
    if not rabbitmq_script():
        pytest.skip("rabbitmq-server is not installed and JACKFIELD_TEST_RABBITMQ_URL is not set")
    yield from _private("rabbitmq")


@pytest.fixture
def redis_queue(request):
    return _queue(request, "redis")


@pytest.fixture
def rabbitmq_queue(request):
    return _queue(request, "rabbitmq")


@pytest.fixture(params=["redis", "rabbitmq"])
def queue(request):
    return _queue(request, request.param)


@pytest.fixture(params=["redis", "rabbitmq"])
def killable_queue(request):
    """A queue whose server the test may kill and start."""
    server = request.getfixturevalue(f"{request.param}_server")
    return Queue(request.param, server.url, server)


def _queue(request, kind):
    url = os.environ.get(f"JACKFIELD_TEST_{kind.upper()}_URL")
    if url:
        return Queue(kind, url)
    server = request.getfixturevalue(f"{kind}_server")
    return Queue(kind, server.url, server)


@pytest.fixture
def use(settings):
    """Switches the JACKFIELD setting and closes what it opened."""
    from django_jackfield import brokers

    def switch(queue, **more):
        settings.JACKFIELD = queue.setting(**more)

    yield switch
    brokers.close_all()
