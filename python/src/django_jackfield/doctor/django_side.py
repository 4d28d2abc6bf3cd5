"""What the doctor can see from Django: the setting, the binary, the queue, the workers."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.conf import settings
from django.core.checks import ERROR, WARNING, run_checks
from django.core.exceptions import ImproperlyConfigured

import django_jackfield
from django_jackfield.backends.base import BaseBackend
from django_jackfield.command import question
from django_jackfield.devserver import binary, config
from django_jackfield.doctor.finding import Finding, note, ok, problem
from django_jackfield.errors import AskError, AskTimeout, PublishError
from django_jackfield.registry import discover, registry

MANY = 1000
SETTLE_SECONDS = 2.0
CHANNEL = "jackfield-doctor"


def setting() -> Iterator[Finding]:
    """The system checks of the tag, those for deployment too where DEBUG is off."""
    messages = run_checks(tags=["jackfield"], include_deployment_checks=not settings.DEBUG)
    for message in messages:
        subject, remedy = f"setting ({message.id})", message.hint or ""
        if message.level >= ERROR:
            yield problem(subject, message.msg, remedy or "correct JACKFIELD in the settings")
        elif message.level >= WARNING:
            yield note(subject, message.msg, remedy)
    if not any(message.level >= ERROR for message in messages):
        yield ok("setting", "valid")


def program() -> Iterator[Finding]:
    """The server binary, if it is to run on this machine."""
    found = binary.find_binary()
    if found is None:
        yield note(
            "binary",
            f"{binary.missing()}; a machine that runs only Django needs none",
        )
        return
    try:
        version = binary.version_of(found)
    except OSError as error:
        yield problem("binary", str(error), "pip install --force-reinstall jackfield")
        return
    own = django_jackfield.__version__
    if version == own:
        yield ok("binary", f"{found}, version {version}")
    else:
        yield problem(
            "binary",
            f"{found} has version {version}, django-jackfield {own}",
            f"pip install 'jackfield=={own}'",
        )


def away(backend: BaseBackend) -> tuple[type[Exception], ...]:
    """What a queue that does not answer raises."""
    return (PublishError, *backend.failures)


def queue(backend: BaseBackend) -> Iterator[Finding]:
    """Whether the queue answers, and what lies dead in it."""
    try:
        letters = backend.dead_letters(MANY)
    except NotImplementedError as error:
        yield problem(
            "queue", str(error), "use the embedded, the redis or the rabbitmq backend as BACKEND"
        )
        return
    except away(backend) as error:
        yield problem(
            "queue",
            f"{backend.where} does not answer: {type(error).__name__}: {error}",
            f"start it, or correct OPTIONS of JACKFIELD[{backend.config.alias!r}]",
        )
        return
    yield ok("queue", f"{backend.where} answers")
    if not letters:
        yield ok("dead letters", "none")
        return
    count = f"{MANY} or more" if len(letters) >= MANY else str(len(letters))
    last = letters[-1].get("reason", "")
    yield note(
        "dead letters",
        f"{count}; the last one: {last[:120]}",
        "manage.py jackfield dead list; then dead replay, or dead drop",
    )


def server_reads(backend: BaseBackend) -> Iterator[Finding]:
    """Whether a server takes commands out of the queue."""
    subject = "server and queue"
    try:
        backend.ask(question("presence_stats", CHANNEL), max(2.0, backend.config.timeout))
    except AskError:
        # A refusal is an answer as well.
        pass
    except AskTimeout:
        yield problem(
            subject,
            "no server takes commands out of the queue",
            "start jackfield with this queue under [app_link]: driver, url, "
            f'prefix = "{backend.config.prefix}", partitions = {backend.config.partitions}',
        )
        return
    except (PublishError, NotImplementedError) as error:
        yield problem(subject, str(error), "see the line about the queue")
        return
    yield ok(subject, "a server answers commands")


def handlers() -> Iterator[Finding]:
    """What the realtime.py files declare."""
    try:
        discover()
    except Exception as error:
        yield problem(
            "handlers", f"a realtime.py cannot be imported: {error!r}", "correct that file"
        )
        return
    yield ok("handlers", registry.summary())


def workers(backend: BaseBackend) -> Iterator[Finding]:
    """Who reads the partitions of events."""
    try:
        read = _settled_readers(backend)
    except away(backend) as error:
        yield problem("worker", f"cannot be seen: {error}", "see the line about the queue")
        return
    total = backend.config.partitions
    missing = sorted(set(range(total)) - read)
    if not missing:
        yield ok("worker", f"all {total} partitions are read")
    elif _needs_worker():
        unread = "none of them" if not read else f"all but {', '.join(map(str, missing))}"
        yield problem(
            "worker",
            f"{total} partitions of events, read are: {unread}",
            "start manage.py jackfield worker",
        )
    else:
        yield note("worker", "none runs, and there is nothing for one to do")


def _settled_readers(backend: BaseBackend) -> set[int]:
    """The partitions that are read; a worker that takes them one by one is waited for."""
    end, read = time.monotonic() + SETTLE_SECONDS, set(_read_partitions(backend))
    while read and len(read) < backend.config.partitions and time.monotonic() < end:
        time.sleep(0.1)
        read = set(_read_partitions(backend))
    return read


def _needs_worker() -> bool:
    return bool(
        registry.channels
        or registry.messages
        or registry.rpcs
        or registry.connecting
        or registry.connected
        or registry.disconnected
        or registry.notices
    )


def _read_partitions(backend: BaseBackend) -> Iterator[int]:
    """The partitions that a worker has the lease of."""
    number = backend.config.partitions
    if config.driver_of(backend.config) == "rabbitmq":
        yield from _consumed(backend)
        return
    client = getattr(backend, "client", None)
    if client is None:
        raise ImproperlyConfigured("this backend tells nothing about leases")
    for partition in range(number):
        if client().get(f"{{{backend.config.prefix}:{partition}}}:lease:app") is not None:
            yield partition


def _consumed(backend: BaseBackend) -> Iterator[int]:
    import pika

    from django_jackfield.backends.rabbitmq import RabbitMQBackend

    if not isinstance(backend, RabbitMQBackend):
        return
    connection = pika.BlockingConnection(backend.parameters(60))
    try:
        channel = connection.channel()
        for partition in range(backend.config.partitions):
            name = f"{backend.topology.events}.{partition}"
            if channel.queue_declare(name, passive=True).method.consumer_count:
                yield partition
    finally:
        connection.close()
