"""A stream counts as gone beyond its limit by what no honest answer comes to."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.readers import ChatReader
from gateway.testing import chunk, make_call, sse, usage
from gateway.upstream.output_limit import OutputLimit
from gateway.upstream.stream_pump import StreamPump
from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.tally import ChatTally

from .kit import EVENTS, LIMITS, FakeExchange, Outlet


def passes(pieces: list[str], limit: int, **more: Any) -> int | None:
    """After how many pieces the limit counts as passed; None for never."""
    tally, found = ChatTally(), OutputLimit(limit)
    for place, piece in enumerate(pieces, 1):
        tally.add([chunk({"content": piece}, **more)])
        if found.is_passed(tally):
            return place
    return None


@pytest.mark.parametrize(
    ("pieces", "limit"),
    [
        (["word "] * 100, 100),  # one token a chunk
        (list("letters apart are no tokens " * 16), 100),  # 448 letters of about 100 tokens
        (["a few words in one chunk "] * 20, 100),
        (["हिन्दी में लम्बे शब्द "] * 16, 100),  # about 55 bytes and six tokens each
        ([" " * 64] * 10, 100),
    ],
)
def test_an_honest_answer_is_left_alone(pieces: list[str], limit: int) -> None:
    assert passes(pieces, limit) is None


@pytest.mark.parametrize(
    ("pieces", "most"),
    [
        (["word "] * 1000, 109),
        (["7 "] * 1000, 109),
        (list("letters apart " * 1000), 541),
        (["a chunk of many tokens " * 20] * 100, 3),
    ],
)
def test_one_that_goes_on_is_not(pieces: list[str], most: int) -> None:
    passed = passes(pieces, 100)
    assert passed is not None
    assert passed <= most


def test_what_the_provider_tells_counts() -> None:
    assert passes(["word"] * 3, 100, usage=usage(1, 200)) == 1
    assert passes(["word"] * 3, 100, usage=usage(1, 90)) is None


@pytest.mark.parametrize(("piece", "count", "most"), [("word", 100, 19), ("a chunk of many tokens " * 5, 8, 2)])
async def test_not_one_event_goes_out_beyond_it_however_much_comes_at_once(piece: str, count: int, most: int) -> None:
    import asyncio

    deadline = asyncio.get_running_loop().time() + 30
    pump = StreamPump(ChatReader(make_call()), ChatTally(), ChatRelay("ours/m", False), LIMITS, deadline, 0.0)
    pump.exchange, pump.limit = FakeExchange(), OutputLimit(10)
    pump.head(200, EVENTS)
    outlet = Outlet()
    pump.attach(outlet)
    pump.data(b"".join(sse(chunk({"content": piece})) for _ in range(count)))
    assert (pump.overran, pump.ended, pump.fault) == (True, True, None)
    assert outlet.data.count(piece.encode()) == most
    assert pump.tally.finish_reason == "length"
