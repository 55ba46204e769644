"""Answers that are read piece by piece: no more of them in memory than waits to be read."""

from __future__ import annotations

import asyncio
import zlib

import pytest

from gateway.errors import UpstreamFault
from gateway.upstream.body_stream import MOST_WAITING, BodyStream
from gateway.upstream.timeouts import Limits


class Upstream:
    """The side that sends: notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def cancel(self) -> None:
        self.told.append("cancel")


def opened(most: int = 1 << 30) -> tuple[BodyStream, Upstream]:
    limits = Limits(first_byte=60, idle=60, total=60, max_reply=most, max_event=most)
    stream, upstream = BodyStream(limits, asyncio.get_running_loop().time() + 60), Upstream()
    stream.exchange = upstream
    return stream, upstream


async def test_the_upstream_waits_for_the_reader() -> None:
    stream, upstream = opened()
    stream.head(200, {"content-length": "7"})
    assert (await stream.begin(), stream.length) == (200, 7)
    stream.data(b"x" * MOST_WAITING)
    assert upstream.told == []
    stream.data(b"y")
    stream.data(b"z")
    assert upstream.told == ["pause"], "once"
    pieces = aiter(stream)
    await anext(pieces)
    await anext(pieces)
    assert upstream.told == ["pause"]
    assert await anext(pieces) == b"z"
    assert upstream.told == ["pause", "resume"]
    stream.end(None)
    assert [piece async for piece in pieces] == []
    stream.close()
    assert upstream.told == ["pause", "resume"], "what is over is not cancelled"


async def test_what_breaks_off_is_told_after_what_came() -> None:
    stream, _ = opened()
    stream.head(200, {})
    stream.data(b"begun")
    stream.end(UpstreamFault("cut"))
    pieces = aiter(stream)
    assert await anext(pieces) == b"begun"
    with pytest.raises(UpstreamFault, match="cut"):
        await anext(pieces)


async def test_no_answer_is_a_fault() -> None:
    stream, _ = opened()
    stream.end(UpstreamFault("nobody there"))
    with pytest.raises(UpstreamFault, match="nobody"):
        await stream.begin()


async def test_more_than_may_come_is_ended() -> None:
    stream, upstream = opened(most=10)
    stream.head(200, {})
    stream.data(b"x" * 11)
    assert upstream.told == ["cancel"]
    with pytest.raises(UpstreamFault, match="longer than 10"):
        await stream.read(100)
    stream, upstream = opened()
    stream.head(200, {})
    stream.data(b"x" * 11)
    stream.end(None)
    with pytest.raises(UpstreamFault, match="longer than 10"):
        await stream.read(10)


async def test_what_is_compressed_is_read_as_it_is_meant() -> None:
    stream, upstream = opened()
    packed = zlib.compress(b"text" * 1000)
    stream.head(200, {"content-encoding": "deflate", "content-length": str(len(packed))})
    assert stream.length is None
    stream.data(packed[:5])
    stream.data(packed[5:])
    stream.end(None)
    assert await stream.read(10_000) == b"text" * 1000
    stream, upstream = opened()
    stream.head(200, {"content-encoding": "br"})
    assert upstream.told == ["cancel"]
    with pytest.raises(UpstreamFault, match="compressed"):
        await stream.read(10)
