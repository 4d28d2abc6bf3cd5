"""The application's library of the Centrifugo dialect, unmodified: each of its methods that this server has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cent
import pytest
from serving import Server
from speakers import BASE, JsonSocket, joined

KEY = "the-key-of-the-tests"


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with Server(BASE, workers=2, sets=(f"http_api.key={KEY}",)) as server:
        yield server


@pytest.fixture
def client(api: Server) -> cent.Client:
    return cent.Client(f"http://127.0.0.1:{api.internal}/api", KEY)


def test_publishing(api: Server, client: cent.Client) -> None:
    reader = joined(api, "open:cent")
    first = client.publish(cent.PublishRequest(channel="open:cent", data={"n": 1}, tags={"a": "b"}))
    assert first.offset == 1 and first.epoch
    request = cent.PublishRequest(channel="open:cent", data=2, skip_history=False, idempotency_key="two")
    assert client.publish(request).offset == client.publish(request).offset == 2
    binary = cent.PublishRequest(channel="open:cent", data=None, b64data="AAEC")
    assert client.publish(binary).offset == 3
    both = client.broadcast(cent.BroadcastRequest(channels=["open:cent", "none:1"], data=[4], skip_history=False))
    assert both.responses[0].result and both.responses[0].result.offset == 4
    assert both.responses[1].error and both.responses[1].error.code == 102
    assert [reader.push()["pub"]["data"] for _ in range(4)] == [{"n": 1}, 2, "AAEC", [4]]
    reader.close()


def test_reading(api: Server, client: cent.Client) -> None:
    member = joined(api, "open:read", "ann")
    for n in range(3):
        client.publish(cent.PublishRequest(channel="open:read", data=n))
    position = client.history(cent.HistoryRequest(channel="open:read"))
    assert (position.offset, position.publications) == (3, [])
    since = cent.StreamPosition(offset=1, epoch=position.epoch)
    some = client.history(cent.HistoryRequest(channel="open:read", limit=1, since=since))
    assert [(one.offset, one.data) for one in some.publications] == [(2, 1)]
    last = client.history(cent.HistoryRequest(channel="open:read", limit=1, reverse=True))
    assert [one.data for one in last.publications] == [2]
    stranger = cent.StreamPosition(offset=1, epoch="another")
    with pytest.raises(cent.CentApiResponseError) as refused:
        client.history(cent.HistoryRequest(channel="open:read", limit=1, since=stranger))
    assert refused.value.code == 112
    present = client.presence(cent.PresenceRequest(channel="open:read")).presence
    assert [info.user for info in present.values()] == ["ann"]
    stats = client.presence_stats(cent.PresenceStatsRequest(channel="open:read"))
    assert (stats.num_clients, stats.num_users) == (1, 1)
    assert client.channels(cent.ChannelsRequest(pattern="open:re*")).channels["open:read"].num_clients == 1
    assert "open:read" in client.channels(cent.ChannelsRequest()).channels
    (node,) = client.info(cent.InfoRequest()).nodes
    assert node.num_clients >= 1 and node.num_subs >= 1 and node.num_users >= 1 and node.version
    client.history_remove(cent.HistoryRemoveRequest(channel="open:read"))
    gone = client.history(cent.HistoryRequest(channel="open:read", limit=-1))
    assert (gone.publications, gone.offset, gone.epoch) == ([], 3, position.epoch)
    member.close()


def login(server: Server, user: str) -> tuple[JsonSocket, str]:
    client = JsonSocket(server.port)
    return client, client.login(user)["client"]


def test_people(api: Server, client: cent.Client) -> None:
    one, first = login(api, "bob")
    two, second = login(api, "bob")
    override = cent.ChannelOptionsOverride(presence=cent.BoolValue(value=True))
    client.subscribe(
        cent.SubscribeRequest(user="bob", channel="open:bob", client=first, info={"a": 1}, data={"b": 2}, override=override)
    )
    pushed = one.push()
    assert pushed["channel"] == "open:bob" and pushed["subscribe"]["data"] == {"b": 2}
    present = client.presence(cent.PresenceRequest(channel="open:bob")).presence
    assert [(key, info.chan_info) for key, info in present.items()] == [(first, {"a": 1})]
    client.unsubscribe(cent.UnsubscribeRequest(user="bob", channel="open:bob"))
    assert one.push()["unsubscribe"]["code"] == 2000
    client.refresh(cent.RefreshRequest(user="bob", expire_at=1_900_000_000))
    gone = cent.Disconnect(code=4500, reason="elsewhere")
    client.disconnect(cent.DisconnectRequest(user="bob", whitelist=[second], disconnect=gone))
    assert one.closed() == (4500, "elsewhere")
    assert two.result(ping={}) == {}
    client.disconnect(cent.DisconnectRequest(user="bob", disconnect=cent.Disconnect()))
    assert two.closed() == (3503, "force disconnect")


def test_blocking(api: Server, client: cent.Client) -> None:
    eve, _ = login(api, "eve")
    client.block_user(cent.BlockUserRequest(user="eve", expire_at=None))
    assert eve.closed() == (3507, "user blocked")
    client.unblock_user(cent.UnblockUserRequest(user="eve"))
    back, _ = login(api, "eve")
    client.invalidate_user_tokens(cent.InvalidateUserTokensRequest(user="eve", issued_before=1))
    client.revoke_token(cent.RevokeTokenRequest(uid="a-token", expire_at=1_900_000_000))
    back.close()


def test_batches(api: Server, client: cent.Client) -> None:
    requests: list[Any] = [
        cent.PublishRequest(channel="open:batch", data=1),
        cent.PublishRequest(channel="open:batch", data=2),
        cent.HistoryRequest(channel="open:batch", limit=-1),
        cent.PresenceStatsRequest(channel="open:batch"),
    ]
    for parallel in (None, True, False):
        replies = client.batch(cent.BatchRequest(requests=requests, parallel=parallel)).replies
        assert [type(reply).__name__ for reply in replies] == [
            "PublishResult",
            "PublishResult",
            "HistoryResult",
            "PresenceStatsResult",
        ]
        assert replies[1].offset == replies[0].offset + 1
        assert [one.data for one in replies[2].publications][-2:] == [1, 2]


def test_refusals(api: Server, client: cent.Client) -> None:
    with pytest.raises(cent.CentApiResponseError) as refused:
        client.publish(cent.PublishRequest(channel="", data=1))
    assert refused.value.code == 107
    with pytest.raises(cent.CentUnauthorizedError):
        cent.Client(f"http://127.0.0.1:{api.internal}/api", "wrong").info(cent.InfoRequest())
