"""The unmodified Python SDK over wss, in JSON and in Protobuf."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from authority import Authority
from centrifuge import Client, ClientEventHandler, PublicationContext, SubscriptionEventHandler
from secure import SecureServer, context
from serving import PATIENCE
from speakers import token, unique


class Heard(SubscriptionEventHandler):
    def __init__(self) -> None:
        self.data: asyncio.Queue[Any] = asyncio.Queue()

    async def on_publication(self, ctx: PublicationContext) -> None:
        await self.data.put(ctx.pub.data)


class Errors(ClientEventHandler):
    def __init__(self) -> None:
        self.first: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def on_error(self, ctx: Any) -> None:
        if not self.first.done():
            self.first.set_result(ctx)


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.usefixtures("neighbours")
def test_over_wss(server: SecureServer, authority: Authority, encoding: str, version: str) -> None:
    async def go() -> None:
        url = f"wss://localhost:{server.port}/connection/websocket"
        trusting = context(authority, version=version)
        client = Client(url, token=token(), use_protobuf=encoding == "protobuf", ssl_context=trusting, proxy=None)
        heard = Heard()
        await client.connect()
        await client.ready(PATIENCE)
        subscription = client.new_subscription(unique("quiet:"), events=heard)
        await subscription.subscribe()
        await subscription.ready(PATIENCE)
        values = [{"text": "grüß dich 😀"}, {"long": "x" * 40_000}]
        for value in values:
            await subscription.publish(json.dumps(value).encode() if encoding == "protobuf" else value)
        got = [await asyncio.wait_for(heard.data.get(), PATIENCE) for _ in values]
        assert [json.loads(one) if encoding == "protobuf" else one for one in got] == values
        await client.disconnect()

    asyncio.run(go())


@pytest.mark.usefixtures("neighbours")
def test_a_server_of_an_unknown_authority_is_not_spoken_to(server: SecureServer, stranger: Authority) -> None:
    async def go() -> None:
        errors = Errors()
        url = f"wss://localhost:{server.port}/connection/websocket"
        client = Client(url, token=token(), events=errors, ssl_context=context(stranger), proxy=None)
        await client.connect()
        told = await asyncio.wait_for(errors.first, PATIENCE)
        assert "CERTIFICATE_VERIFY_FAILED" in str(told.error), told
        await client.disconnect()

    asyncio.run(go())
