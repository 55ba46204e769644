"""The fake upstream plays what it was told, and remembers what it got."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
import pytest_asyncio

from gateway.testing import (
    Cut,
    FakeUpstream,
    Hold,
    Pause,
    Reply,
    Stall,
    all_splits,
    huge_event,
    json_reply,
    openai_completion,
    openai_stream,
    random_slices,
    refused_url,
    slices,
)

STREAM = b"".join(openai_stream("Hello", " world"))


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as server:
        yield server


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(read_bufsize=2**20) as session:
        yield session


async def fetch(client: aiohttp.ClientSession, upstream: FakeUpstream, body: bytes = b"{}") -> tuple[int, bytes]:
    async with client.post(upstream.url + "/v1/chat/completions", data=body) as response:
        return response.status, await response.read()


async def fetch_raw(upstream: FakeUpstream) -> bytes:
    """Everything the server sends on a connection, as it is, until it closes."""
    host, port = upstream.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
async def test_a_reply_in_every_framing(upstream: FakeUpstream, client: aiohttp.ClientSession, framing: str) -> None:
    upstream.reply(Reply(openai_stream("Hello", " world"), framing=framing, headers={"x-request-id": "r"}))
    async with client.post(upstream.url, data=b"{}") as response:
        assert response.headers["x-request-id"] == "r"
        assert response.content_type == "text/event-stream"
        assert await response.read() == STREAM
    assert upstream.requests[0].complete


async def test_requests_are_remembered(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    upstream.reply(json_reply(openai_completion("Hi")))
    headers = {"Authorization": "Bearer key", "X-Odd": "a:b"}
    async with client.post(upstream.url + "/v1/x?y=1", json={"model": "m"}, headers=headers) as response:
        assert orjson.loads(await response.read())["choices"][0]["message"]["content"] == "Hi"
    received = upstream.requests[0]
    assert (received.method, received.path, received.json) == ("POST", "/v1/x?y=1", {"model": "m"})
    assert received.headers["authorization"] == "Bearer key"
    assert received.headers["x-odd"] == "a:b"


async def test_connections_are_kept_and_chunked_bodies_read(upstream: FakeUpstream) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"a":'
        yield b"1}"

    upstream.reply(json_reply({}))
    async with aiohttp.ClientSession() as client:
        for _ in range(3):
            async with client.post(upstream.url, data=parts()) as response:
                await response.read()
    assert [received.json for received in upstream.requests] == [{"a": 1}] * 3
    assert upstream.connections == 1


async def test_replies_are_queued_and_decided(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    upstream.queue(json_reply({"n": 1}, 503), json_reply({"n": 2}))
    upstream.answer(lambda received: json_reply({"said": received.json["say"]}))
    assert await fetch(client, upstream) == (503, b'{"n":1}')
    assert await fetch(client, upstream) == (200, b'{"n":2}')
    assert await fetch(client, upstream, b'{"say":"x"}') == (200, b'{"said":"x"}')


async def test_without_a_reply_it_says_so(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    status, body = await fetch(client, upstream)
    assert status == 500
    assert b"no reply was set" in body


@pytest.mark.parametrize("size", [1, 7])
async def test_slices_arrive_as_the_same_stream(
    upstream: FakeUpstream, client: aiohttp.ClientSession, size: int
) -> None:
    upstream.reply(Reply(slices(STREAM, size)))
    assert await fetch(client, upstream) == (200, STREAM)


async def test_pauses_and_delays_take_their_time(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    upstream.reply(Reply([b"a", Pause(0.03), b"b"], delay=0.03))
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert await fetch(client, upstream) == (200, b"ab")
    assert loop.time() - start >= 0.055


async def test_a_test_decides_when_it_goes_on(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    go = asyncio.Event()
    upstream.reply(Reply([b"a", Hold(go), b"b"]))
    async with client.post(upstream.url, data=b"{}") as response:
        assert await response.content.readany() == b"a"
        go.set()
        assert await response.content.readany() == b"b"


@pytest.mark.parametrize("reset", [True, False])
async def test_a_cut_inside_a_chunked_body(upstream: FakeUpstream, client: aiohttp.ClientSession, reset: bool) -> None:
    upstream.reply(Reply([b"a", Pause(0.01), Cut(reset), b"never"]))
    async with client.post(upstream.url, data=b"{}") as response:
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await response.read()
    assert not upstream.requests[0].complete


async def test_a_body_shorter_than_declared(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    upstream.reply(Reply([b"abc"], framing="length", length=10))
    async with client.post(upstream.url, data=b"{}") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_raw_bytes_are_not_touched(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    upstream.reply(Reply([b"HTP/9 nonsense\r\n\r\n"], framing="raw"))
    assert await fetch_raw(upstream) == b"HTP/9 nonsense\r\n\r\n"
    with pytest.raises(aiohttp.ClientError):
        await fetch(client, upstream)


async def test_the_head_of_a_status_nobody_knows(upstream: FakeUpstream) -> None:
    upstream.reply(Reply([b"x"], 529, framing="close", media_type=""))
    assert await fetch_raw(upstream) == b"HTTP/1.1 529 Unknown\r\nconnection: close\r\n\r\nx"


async def test_it_notices_when_the_client_goes(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    upstream.reply(Reply([b"a", Stall()]))
    loop = asyncio.get_running_loop()
    response = await client.post(upstream.url, data=b"{}")
    (received,) = await upstream.wait_for_requests(1)
    with pytest.raises(TimeoutError):
        await received.wait_closed(0.02)
    left = loop.time()
    response.close()
    assert await received.wait_closed() >= left
    assert not received.complete


async def test_waiting_for_requests_gives_up(upstream: FakeUpstream) -> None:
    with pytest.raises(TimeoutError):
        await upstream.wait_for_requests(1, within=0.01)


async def test_a_line_of_16_mebibytes(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    event = huge_event()
    upstream.reply(Reply([event]))
    _, body = await fetch(client, upstream)
    assert len(body) == len(event) > 2**24


async def test_nobody_listens_at_a_refused_address() -> None:
    with refused_url() as url:
        host, port = url.removeprefix("http://").split(":")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))


async def test_after_close_nothing_is_left() -> None:
    upstream = FakeUpstream()
    await upstream.start()
    upstream.reply(Reply([b"a", Stall()]))
    async with aiohttp.ClientSession() as client:
        response = await client.post(upstream.url, data=b"{}")
        await upstream.close()
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await response.read()
    host, port = upstream.url.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError), socket.create_connection((host, int(port)), timeout=1):
        pass


def test_splits_lose_nothing() -> None:
    for name, pieces in all_splits(STREAM):
        assert b"".join(pieces) == STREAM, name
        assert all(pieces), name
    assert random_slices(STREAM, 1) == random_slices(STREAM, 1) != random_slices(STREAM, 2)
