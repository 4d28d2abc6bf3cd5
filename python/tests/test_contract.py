"""The contract vectors, with the fake client and with the real server."""

import contextlib
import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from contract_handlers import NAMES, declare
from django_jackfield import brokers
from django_jackfield.command import Command
from django_jackfield.errors import AskError
from django_jackfield.registry import isolated
from django_jackfield.test import Denied, Disconnected
from django_jackfield.testing.live import LiveServer, binary
from servers import until

VECTORS = [
    pytest.param(vector, id=f"{path.stem}: {vector['name']}")
    for path in sorted((Path(__file__).parent / "contract").glob("*.json"))
    for vector in json.loads(path.read_text())
]
VERBS = ("subscribe", "unsubscribe", "publish", "send", "call", "presence", "history")
users = {}


def name_of(user_id):
    """The name of a user of the vectors; whoever has none keeps its id."""
    return users.get(user_id, user_id)


@pytest.fixture
def people(transactional_db):
    made = {name: User.objects.create_user(name) for name in NAMES}
    users.clear()
    users.update({str(user.pk): name for name, user in made.items()})
    return made


class Run:
    """One vector in one world."""

    def __init__(self, people, told, connect):
        self.people, self.told, self.open = people, told, connect
        self.clients = {}

    def steps(self, steps):
        for number, step in enumerate(steps, 1):
            try:
                self.step(step)
            except Exception as error:
                error.add_note(f"in step {number}: {step}")
                raise

    def step(self, step):
        if "app" in step:
            return self.expect(step, lambda: self.app(step["app"], step["with"]))
        if "connect" in step:
            return self.expect(step, lambda: self.connect(step["who"], step["connect"]))
        client = self.clients[step["who"]]
        verb = next((verb for verb in VERBS if verb in step), None)
        if verb is not None:
            return self.expect(step, lambda: self.does(client, verb, step))
        if "disconnect" in step:
            return client.disconnect()
        if "received" in step:
            return self.received(client, step)
        if "ended" in step:
            until(lambda: not client.connected, what="the end of a connection")
            assert client.close[0] == step["ended"]
            return None
        if "left" in step:
            until(lambda: client.left_channels, what="the end of a subscription")
            assert list(client.left_channels[-1][:2]) == step["left"]
            return None
        return self.heard(client, step)

    def expect(self, step, action):
        """Does it; what comes of it is what the step says, and nothing else."""
        if "error" in step:
            with pytest.raises((Denied, AskError)) as refused:
                action()
            assert refused.value.code == step["error"]
            if "temporary" in step:
                assert refused.value.temporary is step["temporary"]
        elif "closes" in step:
            with pytest.raises(Disconnected) as closed:
                action()
            assert closed.value.code == step["closes"]
        else:
            result = action()
            assert result == step.get("is", result)

    def connect(self, who, how):
        user = self.people[how.get("user", who)] if how.get("user", who) else None
        self.clients[who] = client = self.open(user, how.get("data"))
        return client.welcome

    def does(self, client, verb, step):
        if verb == "send":
            client.send(step["send"], step.get("data"), step["event"])
        elif verb == "presence":
            found = client.presence(step["presence"]).values()
            return sorted(name_of(member["user"]) for member in found)
        elif verb == "history":
            return [one.raw for one in client.history(step["history"])]
        elif verb == "unsubscribe":
            client.unsubscribe(step["unsubscribe"])
        else:
            return getattr(client, verb)(step[verb], step.get("data"))
        return None

    def app(self, method, fields):
        fields = dict(fields)
        if "user" in fields:
            fields["user"] = str(self.people[fields["user"]].pk)
        if "client" in fields:
            fields["client"] = self.clients[fields["client"]].id
        result = brokers["default"].ask(Command.make(method, fields), 20)
        # What the server did is on its way to the clients; who is asked a thing now hears it first.
        for client in self.clients.values():
            if client.connected and hasattr(client, "ping"):
                with contextlib.suppress(Disconnected):
                    client.ping()
        return result

    def received(self, client, step):
        wanted = step["received"]
        until(lambda: len(client.received()) >= len(wanted), what=f"{len(wanted)} publications")
        heard = client.received()
        if step.get("any_order"):
            heard = sorted(heard, key=lambda one: one.channel)
        assert len(heard) == len(wanted), heard
        for one, said in zip(heard, wanted, strict=True):
            assert (one.channel, one.event, one.data) == (
                said["channel"],
                said.get("event"),
                said["data"],
            )
            assert name_of(one.user) == said.get("user")

    def heard(self, client, step):
        kinds = step.get("kinds")

        def so_far():
            said = list(self.told[client.id])
            return [one for one in said if not kinds or one.split()[0] in kinds]

        until(lambda: len(so_far()) >= len(step["told"]), what=f"handlers that hear {step['told']}")
        assert so_far() == step["told"]


@pytest.mark.parametrize("vector", VECTORS)
def test_with_the_fake_client(vector, people, jackfield_client):
    def connect(user, data):
        return jackfield_client(user, data=data, raise_handler_exception=False)

    with isolated():
        Run(people, declare(name_of), connect).steps(vector["steps"])


@pytest.fixture(scope="module")
def real():
    """One server and one worker for all vectors: their channels have names of their own."""
    if binary() is None:
        pytest.skip("no jackfield binary: name one by JACKFIELD_BIN")
    with isolated() as registry:
        told = declare(name_of)
        with LiveServer(registry=registry) as live:
            yield live, told


@pytest.mark.parametrize("vector", VECTORS)
def test_with_the_real_server(vector, people, real):
    live, told = real

    def connect(user, data):
        return live.connect(user, data=data)

    run = Run(people, told, connect)
    try:
        run.steps(vector["steps"])
    finally:
        for client in run.clients.values():
            client.disconnect()
