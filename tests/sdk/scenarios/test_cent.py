"""`cent`, the unmodified client of the server API: every method it has."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import time
from collections.abc import Iterator
from typing import Any

import cent
import pytest
from cent import dto
from centrifuge import Client
from players import CONFIG, KEY, own
from serving import Server, wait_for
from speakers import JsonSocket, soon, token
from test_centrifuge_python import Heard


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(CONFIG) as server:
        yield server


@pytest.fixture
def api(server: Server) -> Iterator[cent.Client]:
    with cent.Client(f"http://127.0.0.1:{server.internal}/api", KEY) as client:
        yield client


@pytest.fixture
def user() -> str:
    return own("u").replace(":", "-")


def joined(server: Server, user: str, *channels: str, **claims: Any) -> JsonSocket:
    client = JsonSocket(server.port)
    client.id = client.login(user, **claims)["client"]  # type: ignore[attr-defined]
    for channel in channels:
        client.result(subscribe={"channel": channel})
    return client


def push(client: JsonSocket, kind: str) -> dict[str, Any]:
    """The next push of a kind."""
    while kind not in (said := client.push()):
        pass
    return said


def refused(server: Server, made: str) -> bool:
    """Whether a token lets nobody in: an error, or a close that is final."""
    client = JsonSocket(server.port)
    number = client.ask(connect={"token": made})
    while number not in client.replies and client.step():
        pass
    if client.end:
        return 3500 <= client.end[0] < 4000
    return "error" in client.replies[number]


def publications(client: JsonSocket, count: int) -> list[Any]:
    return [push(client, "pub")["pub"]["data"] for _ in range(count)]


def test_publish_and_history(api: cent.Client) -> None:
    channel = own("open")
    first = api.publish(cent.PublishRequest(channel=channel, data={"n": 1}, tags={"kind": "note"}))
    assert (first.offset, len(first.epoch) > 0) == (1, True)
    for n in range(2, 11):
        api.publish(cent.PublishRequest(channel=channel, data={"n": n}))
    assert api.publish(cent.PublishRequest(channel=channel, data=0, skip_history=True)).offset == 0
    every = api.history(cent.HistoryRequest(channel=channel, limit=100))
    assert [pub.data["n"] for pub in every.publications] == list(range(1, 11))
    assert (every.publications[0].tags, every.offset, every.epoch) == ({"kind": "note"}, 10, first.epoch)
    position = api.history(cent.HistoryRequest(channel=channel))
    assert (position.publications, position.offset) == ([], 10)
    since = cent.StreamPosition(offset=4, epoch=every.epoch)
    page = api.history(cent.HistoryRequest(channel=channel, limit=3, since=since))
    assert [pub.offset for pub in page.publications] == [5, 6, 7]
    back = api.history(cent.HistoryRequest(channel=channel, limit=2, reverse=True))
    assert [pub.offset for pub in back.publications] == [10, 9]
    with pytest.raises(cent.CentApiResponseError) as error:
        api.history(cent.HistoryRequest(channel=channel, limit=1, since=cent.StreamPosition(offset=1, epoch="gone")))
    assert error.value.code == 112


def test_history_remove(api: cent.Client) -> None:
    channel = own("open")
    api.publish(cent.PublishRequest(channel=channel, data=1))
    api.history_remove(cent.HistoryRemoveRequest(channel=channel))
    left = api.history(cent.HistoryRequest(channel=channel, limit=10))
    assert (left.publications, left.offset) == ([], 1)


def test_binary_data(api: cent.Client, server: Server) -> None:
    channel, data = own("open"), bytes(range(256))
    heard = Heard()

    async def go() -> None:
        client = Client(server.url, events=heard, token=token(), use_protobuf=True, proxy=None)
        subscription = client.new_subscription(channel, events=heard)
        await client.connect()
        await subscription.subscribe()
        await subscription.ready(10)
        request = cent.PublishRequest(channel=channel, data=None, b64data=base64.b64encode(data).decode())
        await asyncio.to_thread(api.publish, request)
        assert (await heard.first("publication")).pub.data == data
        await client.disconnect()

    asyncio.run(go())


def test_broadcast_and_idempotency(api: cent.Client, server: Server) -> None:
    channels = [own("open"), own("open")]
    client = joined(server, "ann", *channels)
    for _ in range(2):
        result = api.broadcast(cent.BroadcastRequest(channels=channels, data="all", idempotency_key="once"))
        assert [response.result.offset for response in result.responses if response.result] == [1, 1]
    mixed = api.broadcast(cent.BroadcastRequest(channels=[channels[0], "nowhere:1"], data="some"))
    assert mixed.responses[0].result and mixed.responses[0].result.offset == 2
    assert mixed.responses[1].error and mixed.responses[1].error.code == 102
    assert publications(client, 3) == ["all", "all", "some"]


def test_subscribe_and_unsubscribe(api: cent.Client, server: Server, user: str) -> None:
    channel = own("closed")
    client, other = joined(server, user), joined(server, user)
    api.subscribe(
        cent.SubscribeRequest(
            user=user,
            channel=channel,
            client=client.id,  # type: ignore[attr-defined]
            info={"role": "guard"},
            data={"hello": 1},
            override=cent.ChannelOptionsOverride(force_recovery=cent.BoolValue(value=True)),
        )
    )
    told = push(client, "subscribe")
    assert (told["channel"], told["subscribe"]["data"], told["subscribe"]["recoverable"]) == (channel, {"hello": 1}, True)
    (info,) = api.presence(cent.PresenceRequest(channel=channel)).presence.values()
    assert (info.user, info.client, info.chan_info) == (user, client.id, {"role": "guard"})  # type: ignore[attr-defined]
    api.subscribe(cent.SubscribeRequest(user=user, channel=channel))
    assert push(other, "subscribe")["channel"] == channel
    stats = api.presence_stats(cent.PresenceStatsRequest(channel=channel))
    assert (stats.num_clients, stats.num_users) == (2, 1)
    api.unsubscribe(cent.UnsubscribeRequest(user=user, channel=channel, client=other.id))  # type: ignore[attr-defined]
    assert push(other, "unsubscribe")["channel"] == channel
    assert api.presence_stats(cent.PresenceStatsRequest(channel=channel)).num_clients == 1
    api.unsubscribe(cent.UnsubscribeRequest(user=user, channel=channel))
    assert push(client, "unsubscribe")["unsubscribe"]["code"] == 2000
    assert api.presence_stats(cent.PresenceStatsRequest(channel=channel)).num_clients == 0


def test_subscribe_since(api: cent.Client, server: Server, user: str) -> None:
    channel = own("kept")
    for n in range(1, 6):
        last = api.publish(cent.PublishRequest(channel=channel, data=n))
    client = joined(server, user)
    since = cent.StreamPosition(offset=3, epoch=last.epoch)
    api.subscribe(cent.SubscribeRequest(user=user, channel=channel, recover_since=since))
    assert push(client, "subscribe")["channel"] == channel
    assert publications(client, 2) == [4, 5]


def test_disconnect(api: cent.Client, server: Server, user: str) -> None:
    one, two, three = (joined(server, user) for _ in range(3))
    api.disconnect(cent.DisconnectRequest(user=user, client=one.id))  # type: ignore[attr-defined]
    assert one.closed()[0] == 3503
    gone = cent.Disconnect(code=4700, reason="enough")
    api.disconnect(cent.DisconnectRequest(user=user, whitelist=[three.id], disconnect=gone))  # type: ignore[attr-defined]
    assert two.closed() == (4700, "enough")
    assert three.result(publish={"channel": own("open"), "data": 1}) == {}


def test_refresh(api: cent.Client, server: Server, user: str) -> None:
    lasting, ending = joined(server, user, exp=soon(2)), joined(server, user)
    api.refresh(cent.RefreshRequest(user=user, client=lasting.id, expire_at=soon(600)))  # type: ignore[attr-defined]
    api.refresh(cent.RefreshRequest(user=user, client=ending.id, expired=True))  # type: ignore[attr-defined]
    assert ending.closed()[0] == 3005
    end = time.time() + 5
    wait_for(lambda: time.time() > end, "the end of the token and its grace")
    assert lasting.result(publish={"channel": own("open"), "data": 1}) == {}


def test_presence(api: cent.Client, server: Server) -> None:
    channel = own("open")
    clients = [joined(server, user, channel, info={"name": user}) for user in ("ann", "ann", "bob")]
    presence = api.presence(cent.PresenceRequest(channel=channel)).presence
    assert {id: (info.user, info.conn_info) for id, info in presence.items()} == {
        client.id: (user, {"name": user})  # type: ignore[attr-defined]
        for client, user in zip(clients, ("ann", "ann", "bob"), strict=True)
    }
    stats = api.presence_stats(cent.PresenceStatsRequest(channel=channel))
    assert (stats.num_clients, stats.num_users) == (3, 2)


def test_channels_and_info(api: cent.Client, server: Server) -> None:
    first, second = own("open"), own("lobby")
    clients = [joined(server, "ann", first, second), joined(server, "bob", first)]
    channels = api.channels(cent.ChannelsRequest()).channels
    assert (channels[first].num_clients, channels[second].num_clients) == (2, 1)
    assert set(api.channels(cent.ChannelsRequest(pattern="lobby:*")).channels) >= {second}
    assert first not in api.channels(cent.ChannelsRequest(pattern="lobby:*")).channels
    (node,) = api.info(cent.InfoRequest()).nodes
    assert node.uid and node.name and node.version
    assert node.num_clients >= len(clients) and node.num_channels >= 2 and node.num_subs >= 3


def test_batch(api: cent.Client) -> None:
    channel = own("open")
    requests = [
        cent.PublishRequest(channel=channel, data=1),
        cent.PublishRequest(channel=channel, data=2),
        cent.HistoryRequest(channel=channel, limit=10),
        cent.PresenceStatsRequest(channel=channel),
    ]
    one, two, history, stats = api.batch(cent.BatchRequest(requests=requests)).replies
    assert (one.offset, two.offset, stats.num_clients) == (1, 2, 0)
    assert [pub.data for pub in history.publications] == [1, 2]
    many = [cent.PublishRequest(channel=own("open"), data=n) for n in range(20)]
    replies = api.batch(cent.BatchRequest(requests=many, parallel=True)).replies
    assert [reply.offset for reply in replies] == [1] * 20


def test_errors(api: cent.Client, server: Server) -> None:
    with pytest.raises(cent.CentApiResponseError) as error:
        api.publish(cent.PublishRequest(channel="nowhere:1", data=1))
    assert error.value.code == 102
    for call in (
        lambda: api.presence(cent.PresenceRequest(channel=own("plain"))),
        lambda: api.history(cent.HistoryRequest(channel=own("plain"), limit=1)),
    ):
        with pytest.raises(cent.CentApiResponseError) as error:
            call()
        assert error.value.code == 108
    with pytest.raises(cent.CentApiResponseError) as error:
        api.publish(cent.PublishRequest(channel="", data=1))
    assert error.value.code == 107
    for key in ("wrong", ""):
        stranger = cent.Client(f"http://127.0.0.1:{server.internal}/api", key)
        with pytest.raises(cent.CentUnauthorizedError):
            stranger.info(cent.InfoRequest())


def test_block_and_unblock_user(api: cent.Client, server: Server, user: str) -> None:
    client = joined(server, user)
    api.block_user(cent.BlockUserRequest(user=user))
    assert client.closed() == (3507, "user blocked")
    assert refused(server, token(user))
    api.unblock_user(cent.UnblockUserRequest(user=user))
    joined(server, user)


def test_revoke_token(api: cent.Client, server: Server, user: str) -> None:
    revoked, other = joined(server, user, jti=f"{user}-1"), joined(server, user, jti=f"{user}-2")
    api.revoke_token(cent.RevokeTokenRequest(uid=f"{user}-1"))
    revoked.closed()
    assert refused(server, token(user, jti=f"{user}-1"))
    assert other.result(publish={"channel": own("open"), "data": 1}) == {}


def test_invalidate_user_tokens(api: cent.Client, server: Server, user: str) -> None:
    old = joined(server, user, iat=soon(-60))
    api.invalidate_user_tokens(cent.InvalidateUserTokensRequest(user=user, issued_before=soon(-10)))
    old.closed()
    assert refused(server, token(user, iat=soon(-60)))
    joined(server, user, iat=soon(0))


def test_connections(api: cent.Client, server: Server, user: str) -> None:
    channel = own("open")
    one, other = joined(server, user, channel), joined(server, user)
    known = api.connections(cent.ConnectionsRequest(user=user, expression="")).connections
    assert set(known) == {one.id, other.id}  # type: ignore[attr-defined]
    here = known[one.id]  # type: ignore[attr-defined]
    assert (here.user, here.transport, here.protocol) == (user, "websocket", "centrifugo-json")
    assert here.state is not None and set(here.state.channels or {}) == {channel}
    with pytest.raises(cent.CentApiResponseError) as error:
        api.connections(cent.ConnectionsRequest(user=user, expression="user == 1"))
    assert error.value.code == 107


# What this server does not offer, with a request of each; it says so and does nothing else.
ABSENT: dict[str, Any] = {
    "update_user_status": cent.UpdateUserStatusRequest(users=["ann"]),
    "get_user_status": cent.GetUserStatusRequest(users=["ann"]),
    "delete_user_status": cent.DeleteUserStatusRequest(users=["ann"]),
    "device_register": cent.DeviceRegisterRequest(provider="fcm", token="t", platform="web"),
    "device_update": cent.DeviceUpdateRequest(ids=["1"]),
    "device_remove": cent.DeviceRemoveRequest(ids=["1"]),
    "device_list": cent.DeviceListRequest(),
    "device_topic_list": cent.DeviceTopicListRequest(),
    "device_topic_update": cent.DeviceTopicUpdateRequest(device_id="1", op="add", topics=[]),
    "user_topic_list": cent.UserTopicListRequest(),
    "user_topic_update": dto.UserTopicUpdateRequest(user="ann", op="add", topics=[]),
    "send_push_notification": dto.SendPushNotificationRequest(
        recipient=dto.PushRecipient(fcm_tokens=["t"]), notification=dto.PushNotification(fcm=dto.FcmPushNotification(message={}))
    ),
    "update_push_status": cent.UpdatePushStatusRequest(analytics_uid="1", status="sent"),
    "cancel_push": cent.CancelPushRequest(uid="1"),
}


@pytest.mark.parametrize("method", list(ABSENT))
def test_absent(api: cent.Client, method: str) -> None:
    with pytest.raises((cent.CentApiResponseError, cent.CentTransportError)) as error:
        getattr(api, method)(ABSENT[method])
    assert getattr(error.value, "code", None) in (104, 108) or getattr(error.value, "status_code", None) == 404


def test_every_method_is_tested() -> None:
    methods = {name for name, _ in inspect.getmembers(cent.Client, inspect.isfunction) if not name.startswith("_")} - {"close"}
    tested = {name for name in methods if f"api.{name}(" in inspect.getsource(inspect.getmodule(test_batch))}  # type: ignore[arg-type]
    assert methods - tested - set(ABSENT) == set()
    assert json.dumps(sorted(methods & tested & set(ABSENT))) == "[]"
