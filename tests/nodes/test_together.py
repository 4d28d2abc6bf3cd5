"""Three nodes behind one broker are one server: for publications, members, and whatever the application wants of them."""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import socket
import threading
import uuid
from typing import Any

import pytest
from cluster import Api, Listener, Place, Refused, Socket, check, metric, node, together
from serving import Server, wait_for


SECRET = "secret-of-the-tests-which-is-long-enough"
GUARDED = (f"client.token.hmac_secret_key={SECRET}", "client.insecure=false", "broker.prefix=guarded")


def channel(namespace: str) -> str:
    return f"{namespace}:{uuid.uuid4().hex[:8]}"


def client(server: Server, **connect: Any) -> Socket:
    made = Socket(server.port)
    made.id = made.command(connect=connect)["connect"]["client"]
    return made


def test_one_order_for_all(nodes: list[Server]) -> None:
    name = channel("kept")
    places = [Place(server) for server in nodes]
    listeners = [Listener(places, turn, name) for turn in range(9)]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        assert listener.in_channel.wait(30)
    # Everybody publishes everywhere at once, clients and the application.
    def publish(server: Server, first: int) -> None:
        api = Api(server)
        for number in range(first, first + 100):
            api("publish", channel=name, data={"n": number})
    threads = [threading.Thread(target=publish, args=(server, first)) for server, first in zip(nodes, (1000, 2000, 3000), strict=True)]
    for thread in threads:
        thread.start()
    talker = client(nodes[1])
    for number in range(4000, 4100):
        assert "publish" in talker.command(publish={"channel": name, "data": {"n": number}})
    for thread in threads:
        thread.join(60)
    for listener in listeners:
        wait_for(lambda listener=listener: len(listener.sight.numbers) == 400, "all publications")
        listener.stop()
    orders = [listener.sight.numbers for listener in listeners]
    assert all(order == orders[0] for order in orders)
    for first in (1000, 2000, 3000, 4000):
        assert [n for n in orders[0] if first <= n < first + 1000] == list(range(first, first + 100))
    kept = Api(nodes[0])("history", channel=name, limit=-1)["publications"]
    assert [one["data"]["n"] for one in kept] == orders[0][: len(kept)]


def test_a_client_moves_with_what_it_missed(nodes: list[Server]) -> None:
    name = channel("kept")
    first = client(nodes[0])
    told = first.command(subscribe={"channel": name, "recoverable": True})["subscribe"]
    Api(nodes[1])("publish", channel=name, data={"n": 1})
    seen = first.push()["pub"]
    assert seen["data"] == {"n": 1}
    first.close()
    for number in range(2, 12):
        Api(nodes[2])("publish", channel=name, data={"n": number})
    second = client(nodes[1])
    wish = {"channel": name, "recover": True, "recoverable": True, "epoch": told["epoch"], "offset": seen["offset"]}
    told = second.command(subscribe=wish)["subscribe"]
    assert told["recovered"] and [one["data"]["n"] for one in told["publications"]] == list(range(2, 12))
    wish["epoch"] = "another"
    third = client(nodes[2])
    assert not third.command(subscribe=wish)["subscribe"].get("recovered")


def test_channels_that_keep_nothing(nodes: list[Server]) -> None:
    name = channel("plain")
    hears = [client(server) for server in nodes]
    for one in hears:
        assert "subscribe" in one.command(subscribe={"channel": name})
    Api(nodes[0])("broadcast", channels=[name, channel("plain")], data="to all")
    for one in hears:
        wait_for(lambda one=one: one.push().get("pub", {}).get("data") == "to all", "the publication")


def test_members_of_all_nodes(nodes: list[Server]) -> None:
    name = channel("plain")
    members = [client(server) for server in nodes]
    for one in members:
        assert "subscribe" in one.command(subscribe={"channel": name})
    ids = {one.id for one in members}
    for server in nodes:
        api = Api(server)
        assert set(api("presence", channel=name)["presence"]) == ids
        assert api("presence_stats", channel=name) == {"num_clients": 3, "num_users": 1}
        assert api("channels", pattern=name)["channels"] == {name: {"num_clients": 3}}
    told = members[0].command(presence={"channel": name})
    assert set(told["presence"]["presence"]) == ids
    assert members[1].command(presence_stats={"channel": name})["presence_stats"]["num_clients"] == 3
    # Who comes and goes is heard everywhere.
    late = client(nodes[2])
    late.command(subscribe={"channel": name})
    for one in members:
        while one.push().get("join", {}).get("info", {}).get("client") != late.id:
            pass
    late.close()
    for one in members:
        while one.push().get("leave", {}).get("info", {}).get("client") != late.id:
            pass
    wait_for(lambda: Api(nodes[0])("presence_stats", channel=name)["num_clients"] == 3, "an exact count")


def test_survey_of_nodes(nodes: list[Server]) -> None:
    told = Api(nodes[1]).nodes()
    assert sorted(one["name"] for one in told) == ["n0", "n1", "n2"]
    assert all(one["version"] and one["uptime"] >= 0 for one in told)
    three = [client(server) for server in nodes]
    # Clients of the tests before may be on their way out.
    wait_for(
        lambda: {one["name"]: one["num_clients"] for one in Api(nodes[2]).nodes()}
        == {f"n{which}": metric(server, "jackfield_connections") for which, server in enumerate(nodes)},
        "every node's own count",
    )
    assert all(one["num_clients"] >= 1 for one in Api(nodes[0]).nodes())
    del three


def token(**claims: Any) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = ".".join(part(json.dumps(one).encode()) for one in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{part(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


@pytest.fixture(scope="module")
def guarded(broker: str) -> Any:
    servers = [node(broker, name=f"g{number}", sets=GUARDED) for number in range(3)]
    try:
        for server in servers:
            server.start()
        together(servers)
        yield servers
    finally:
        for server in servers:
            server.__exit__()


def test_the_application_reaches_connections_anywhere(guarded: list[Server]) -> None:
    away = client(guarded[2], token=token(sub="ann"))
    api = Api(guarded[0])
    name = channel("kept")
    assert api("subscribe", user="ann", channel=name)["connections"] == 1
    assert away.push()["channel"] == name
    api("publish", channel=name, data={"n": 1})
    assert away.push()["pub"]["data"] == {"n": 1}
    api("unsubscribe", user="ann", channel=name)
    assert away.push()["unsubscribe"]["code"] == 2000
    api("disconnect", user="ann", disconnect={"code": 4100, "reason": "enough"})
    assert away.closed() == (4100, "enough")


def test_revoked_and_blocked_everywhere(guarded: list[Server]) -> None:
    marked = [client(server, token=token(sub="bob", jti="one")) for server in guarded]
    other = client(guarded[1], token=token(sub="bob", jti="two"))
    Api(guarded[0])("revoke_token", uid="one")
    for one in marked:
        assert one.closed()[0] == 3500
    for server in guarded:
        with pytest.raises(ConnectionError):
            client(server, token=token(sub="bob", jti="one"))
    assert "rpc" not in other.command(ping={})
    Api(guarded[2])("block_user", user="bob")
    assert other.closed()[0] == 3507
    for server in guarded:
        wait_for(lambda server=server: refused(server, token(sub="bob", jti="three")), "a block that counts everywhere")
    Api(guarded[1])("unblock_user", user="bob")
    for server in guarded:
        wait_for(lambda server=server: not refused(server, token(sub="bob", jti="three")), "an end of the block")


def refused(server: Server, of: str) -> bool:
    try:
        client(server, token=of).close()
    except ConnectionError:
        return True
    return False


def test_a_node_that_comes_late_knows_who_is_kept_out(broker: str, guarded: list[Server]) -> None:
    Api(guarded[0])("block_user", user="eve")
    with node(broker, name="late", sets=GUARDED) as late:
        wait_for(lambda: len(Api(late).nodes()) == 4, "all nodes")
        wait_for(lambda: refused(late, token(sub="eve")), "the block")
        assert not refused(late, token(sub="adam"))
    # It says goodbye: nobody waits for it.
    for server in guarded:
        wait_for(lambda server=server: len(Api(server).nodes()) == 3, "its absence")


def test_a_request_of_a_stream_may_come_to_any_node(nodes: list[Server]) -> None:
    stream = socket.create_connection(("127.0.0.1", nodes[0].port), 5)
    stream.settimeout(10)
    stream.sendall(b"GET /connection/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D HTTP/1.1\r\nHost: x\r\n\r\n")
    heard = stream.makefile("rb")
    def message() -> dict[str, Any]:
        while True:
            line = heard.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: ") and line != b"data: {}\n":
                return json.loads(line[6:])
    told = message()["connect"]
    name = channel("kept")
    command = json.dumps({"id": 2, "subscribe": {"channel": name}})
    body = json.dumps({"session": told["session"], "node": told["node"], "data": command})
    def post(server: Server, body: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/emulation", body)
        return connection.getresponse().status
    assert post(nodes[1], body) == 204
    assert message()["id"] == 2
    Api(nodes[2])("publish", channel=name, data={"n": 7})
    assert message()["push"]["pub"]["data"] == {"n": 7}
    assert post(nodes[1], json.dumps({"session": told["session"], "node": "nobody", "data": command})) == 404
    stream.close()


def test_history_is_removed_everywhere(nodes: list[Server]) -> None:
    name = channel("kept")
    there = client(nodes[2])
    told = there.command(subscribe={"channel": name, "recoverable": True})["subscribe"]
    offsets = [Api(nodes[0])("publish", channel=name, data={"n": number})["offset"] for number in range(5)]
    Api(nodes[1])("history_remove", channel=name)
    for server in nodes:
        wait_for(lambda server=server: Api(server)("history", channel=name, limit=-1)["publications"] == [], "nothing")
        assert Api(server)("history", channel=name)["offset"] == offsets[-1]
    late = client(nodes[2])
    wish = {"channel": name, "recover": True, "recoverable": True, "epoch": told["epoch"], "offset": offsets[1]}
    assert not late.command(subscribe=wish)["subscribe"].get("recovered")


def test_idempotency_keys_and_versions_count_for_all(nodes: list[Server]) -> None:
    name = channel("kept")
    first = Api(nodes[0])("publish", channel=name, data=1, idempotency_key="k")
    again = Api(nodes[1])("publish", channel=name, data=2, idempotency_key="k")
    assert again == first | {"suppressed": True, "suppress_reason": "idempotency"} or again["offset"] == first["offset"]
    Api(nodes[0])("publish", channel=name, data=3, version=5)
    Api(nodes[2])("publish", channel=name, data=4, version=5)
    kept = Api(nodes[1])("history", channel=name, limit=-1)["publications"]
    assert [one["data"] for one in kept] == [1, 3]


def test_unknown_channels_are_told_at_once(nodes: list[Server]) -> None:
    one = client(nodes[0])
    assert one.command(subscribe={"channel": "nothing:here"})["error"]["code"] == 102
    with pytest.raises(Refused):
        Api(nodes[0])("publish", channel="nothing:here", data=1)


def test_nodes_are_replaced_one_after_the_other(broker: str) -> None:
    sets = ("broker.prefix=rolling",)
    servers = [node(broker, name=f"r{number}", sets=sets).start() for number in range(3)]
    try:
        together(servers)
        name = channel("kept")
        places = [Place(server) for server in servers]
        listeners = [Listener(places, turn, name) for turn in range(9)]
        for listener in listeners:
            listener.start()
        for listener in listeners:
            assert listener.in_channel.wait(30)
        from cluster import Publisher

        publisher = Publisher(places, name)
        publisher.start()
        for server in servers:
            wait_for(lambda: publisher.acknowledged % 50 == 0 and publisher.acknowledged, "some publications")
            assert server.stop() == 0
            server.start()
            together(servers)
        last = publisher.stop()
        counts = check(listeners, last)
        for listener in listeners:
            listener.stop()
        assert counts["told"] == 0 and counts["recovered"] >= 9, counts
    finally:
        for server in servers:
            server.__exit__()
