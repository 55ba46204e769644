"""Requests that are no model calls: whole or piece by piece, over the pool or a provider's own transport."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.errors import UpstreamFault
from gateway.logs import make_logger
from gateway.provider import Exchange, Sink, UpstreamRequest
from gateway.testing import FakeUpstream, Reply, json_reply
from gateway.testing.pytest_plugin import fake_upstream
from gateway.upstream.exchanges import Exchanges
from gateway.upstream.pool import PooledTransport
from gateway.wire.redact import Redactor

__all__ = ["fake_upstream"]


class Own:
    """A transport of a provider's own: fails."""

    def send(self, request: UpstreamRequest, sink: Sink) -> Exchange:
        sink.end(UpstreamFault("by the other way"))
        return self

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


@pytest_asyncio.fixture
async def exchanges() -> AsyncIterator[Exchanges]:
    log = make_logger("test", level="info", style="json", redact=Redactor(), stream=io.StringIO())
    transport = PooledTransport(connect=30.0, connections_per_host=10, log=log)
    yield Exchanges(transport)
    await transport.close()


async def test_whole_or_in_pieces(exchanges: Exchanges, fake_upstream: FakeUpstream) -> None:
    request = UpstreamRequest(fake_upstream.url, {}, b"", method="GET")
    fake_upstream.reply(json_reply({"found": True}, 404))
    reply = await exchanges.whole(request, seconds=30, most=100)
    assert (reply.status, reply.body) == (404, b'{"found":true}')
    fake_upstream.reply(Reply([b"one", b"two"]))
    async with exchanges.stream(request, seconds=30, most=100) as stream:
        assert stream.status == 200
        assert await stream.read(100) == b"onetwo"
    with pytest.raises(UpstreamFault):
        await exchanges.whole(request, seconds=30, most=5)


async def test_a_provider_may_have_its_own_way(exchanges: Exchanges) -> None:
    request = UpstreamRequest("http://nowhere.invalid", {}, b"")
    with pytest.raises(UpstreamFault, match="the other way"):
        await exchanges.whole(request, seconds=30, most=5, transport=Own())
    with pytest.raises(UpstreamFault, match="the other way"):
        async with exchanges.stream(request, seconds=30, most=5, transport=Own()):
            pass
