"""The application hears how everything ended: of a killed node by one `node_lost`, of every connection elsewhere by its own
`disconnect`, behind its last message. Three nodes, a Django site with its worker, and each broker for both."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster import Api, together
from serving import Server, wait_for

from servers import RabbitMQ, Redis

sys.path.insert(0, str(Path(__file__).parents[1] / "walk"))

from stage import Stage  # noqa: E402
from test_ends import OPTIONS, WAYS, Speaker, come, every, leave, remain  # noqa: E402

ENDS = ("closed", "expired", "kicked", "mute", "reset", "shutdown")
"""How connections of the node that stays in order end."""
ENDING, DOOMED, STAYING, SAID = 50, 20, 5, 3
ROOM = "room:81"


class Three(Stage):
    """A site behind three nodes."""

    def __init__(self, queue: Any):
        kind = "redis" if isinstance(queue, Redis) else "rabbitmq"
        url = queue.admin_url if isinstance(queue, Redis) else queue.url
        super().__init__(kind, SimpleNamespace(url=url), OPTIONS)
        self.nodes = [self.server, Server(self.server.config), Server(self.server.config)]
        for number, node in enumerate(self.nodes):
            node.sets = (f"broker.driver={kind}", f"broker.url={url}", f"node.name=n{number}")

    def __enter__(self) -> Three:
        super().__enter__()
        for node in self.nodes[1:]:
            node.start()
        together(self.nodes, 60)
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for node in self.nodes[1:]:
            if node.process:
                node.__exit__()

    def at(self, number: int) -> Stage:
        """The same site, seen from a node."""
        place = copy.copy(self)
        place.server = self.nodes[number]
        return place

    def uid(self, number: int) -> str:
        return next(one["uid"] for one in Api(self.nodes[2]).nodes() if one["name"] == f"n{number}")

    def told(self, kind: str, client: str = "") -> list[tuple[int, int, dict[str, Any]]]:
        """What the handlers heard of a kind: the order in which they did, seq and detail."""
        query = "select id, seq, detail from rooms_heard where kind = ? and client like ? order by id"
        return [(row, seq, json.loads(detail)) for row, seq, detail in self.rows(query, kind, client or "%")]


class Talker(threading.Thread):
    """Says things until its node is gone; `taken` is what it was told is taken."""

    def __init__(self, client: Speaker):
        super().__init__(daemon=True)
        self.client, self.taken = client, 0
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.client.say(f"{self.client.id} {self.taken + 1}", ROOM)
                self.taken += 1


class Story:
    """What happened to one site, for the checks."""

    def __init__(self, stage: Three):
        self.stage = stage
        self.uids = [stage.uid(number) for number in range(3)]
        self.ending = [come(stage.at(1), ENDS[number % len(ENDS)], number) for number in range(ENDING)]
        self.doomed = [come(stage.at(0), "closed", number) for number in range(DOOMED)]
        self.staying = [come(stage.at(2), "closed", number) for number in range(STAYING)]
        every(self.ending, lambda client: [client.say(f"{client.id} {number + 1}", ROOM) for number in range(SAID)])
        every(self.ending, self.end)
        shutting = [client for client in self.ending if client.way == "shutdown"]
        remain(stage.at(1), shutting, 60)
        # Gives its lease back: before that of the killed one runs out, its own would have.
        assert stage.nodes[1].stop() == 0
        talkers = [Talker(client) for client in self.doomed]
        wait_for(lambda: all(talker.taken >= SAID for talker in talkers), "messages of all")
        process = stage.nodes[0].process
        assert process
        process.kill()
        process.wait()
        for talker in talkers:
            talker.join(30)
        self.taken = {talker.client.id: talker.taken for talker in talkers}
        wait_for(lambda: stage.told("node_lost"), "the loss of a node", 60)
        wait_for(lambda: len(stage.told("disconnect")) >= ENDING, "the ends of all connections")
        # The node that is left still says everything, and nothing again.
        for client in self.staying:
            client.say(f"{client.id} 1", ROOM)
            client.close()
        wait_for(lambda: len(stage.told("disconnect")) >= ENDING + STAYING, "the ends of the last")

    def end(self, client: Speaker) -> None:
        if client.way == "kicked":
            # By another node than its own.
            Api(self.stage.nodes[2])("disconnect", client=client.id, code=4501, reason="signed out")
        else:
            leave(self.stage.at(1), client)


def tell(queue: Any) -> dict[str, Any]:
    """Plays the story; gives what the application was told."""
    try:
        queue.start()
        with Three(queue) as stage:
            stage.worker()
            story = Story(stage)
            rows = stage.rows("select id, kind, client, seq, detail from rooms_heard order by id")
            return {
                "uids": story.uids,
                "ways": {client.id: client.way for client in story.ending},
                "doomed": story.taken,
                "rows": [(row, kind, client, seq, json.loads(detail)) for row, kind, client, seq, detail in rows],
                "dead": stage.dead(),
            }
    finally:
        queue.remove()


STORIES = {"lost redis": lambda: tell(Redis()), "lost rabbitmq": lambda: tell(RabbitMQ())}
Stories = dict[str, Future[dict[str, Any]]]


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_a_lost_node_is_told_of_once(kind: str, stories: Stories) -> None:
    told = stories[f"lost {kind}"].result(600)
    rows, uids = told["rows"], told["uids"]
    losses = [row for row in rows if row[1] == "node_lost"]
    assert [(client, seq, detail["node"], detail["name"]) for _, _, client, seq, detail in losses] == [("", 0, uids[0], "n0")]
    assert losses[0][4]["lost_at"] > 0
    # What the application knows of a connection names the node: so it finds those that are over.
    came = {client: detail["node"] for _, kind, client, _, detail in rows if kind == "connect"}
    assert {client for client, node in came.items() if node == uids[0]} == set(told["doomed"])
    for client, taken in told["doomed"].items():
        heard = [row for row in rows if row[2] == client]
        assert heard[0][1] == "connect" and {row[1] for row in heard[1:]} == {"message"}, heard
        # All that was taken, perhaps one more that nobody could say yes to any more; nothing twice.
        said = [row[4]["text"] for row in heard[1:]]
        assert said == [f"{client} {number + 1}" for number in range(len(said))] and taken <= len(said) <= taken + 1
        assert [row[3] for row in heard] == list(range(1, len(said) + 2))
        assert heard[-1][0] < losses[0][0], "told of a connection after its node was told lost"
    assert told["dead"] == []
    print(f"\nnode_lost, {kind}: {DOOMED} connections killed, {sum(told['doomed'].values())} messages taken before, all heard once")


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_every_other_connection_has_its_end(kind: str, stories: Stories) -> None:
    told = stories[f"lost {kind}"].result(600)
    ended = [row for row in told["rows"] if row[1] == "disconnect"]
    assert len(ended) == len({row[2] for row in ended}) == ENDING + STAYING
    for client, way in told["ways"].items():
        heard = [(kind, seq, detail) for _, kind, of, seq, detail in told["rows"] if of == client]
        assert [one[:2] for one in heard] == [("connect", 1), *(("message", 2 + n) for n in range(SAID)), ("disconnect", 2 + SAID)], (way, heard)
        assert [one[2]["text"] for one in heard[1:-1]] == [f"{client} {number + 1}" for number in range(SAID)]
        assert heard[-1][2]["code"] in WAYS[way], (way, heard[-1])
    assert set(told["ways"].values()) == set(ENDS)
