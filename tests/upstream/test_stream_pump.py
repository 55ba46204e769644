"""The pump without sockets: what waits, what is held back, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.api import UpstreamFault
from gateway.readers import ChatReader
from gateway.testing import chunk, make_call, sse, usage
from gateway.upstream.stream_pump import StreamPump
from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.tally import ChatTally

from .kit import EVENTS, JSON, LIMITS, FakeExchange, Outlet

END = sse(chunk({}, finish="stop", usage=usage(1, 2)))


@pytest.fixture
async def pump() -> StreamPump:
    import asyncio

    deadline = asyncio.get_running_loop().time() + 30
    made = StreamPump(ChatReader(make_call()), ChatTally(), ChatRelay("ours/m", False), LIMITS, deadline, 0.0)
    made.exchange = FakeExchange()
    made.head(200, EVENTS)
    return made


class EachTime:
    """A meter that looks after every piece."""

    from_chunks = from_bytes = 0

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look


def word(text: str) -> bytes:
    return sse(chunk({"content": text}))


async def test_what_comes_before_the_caller_waits_in_order(pump: StreamPump) -> None:
    pump.data(word("a"))
    pump.data(word("b"))
    assert pump.started
    outlet = Outlet()
    pump.attach(outlet)
    assert outlet.data.index(b'"a"') < outlet.data.index(b'"b"')
    pump.data(word("c"))
    assert b'"c"' in outlet.data
    pump.close()


async def test_a_slow_caller_pauses_the_upstream(pump: StreamPump) -> None:
    pump.flow(False)
    pump.hold_back(True)
    pump.flow(True)
    assert did(pump)[-1] == "pause", "still held back"
    pump.hold_back(False)
    assert did(pump)[-1] == "resume"
    pump.close()


async def test_no_more_goes_out_than_is_paid_for_however_much_comes_at_once(pump: StreamPump) -> None:
    outlet = Outlet()
    pump.attach(outlet)

    def meter() -> None:
        pump.hold_back(pump.tally.chunks >= 3)

    pump.meter = EachTime(meter)
    pump.data(b"".join(word(f"w{at}") for at in range(8)) + END + b"data: [DONE]\n\n")
    assert pump.tally.chunks == 3
    assert b"w2" in outlet.data
    assert b"w3" not in outlet.data
    assert not pump.ended
    pump.meter = None
    pump.hold_back(False)
    assert b"w7" in outlet.data
    assert pump.ended
    assert pump.fault is None
    assert pump.tally.complete


async def test_what_waits_is_lost_when_the_gateway_ends_the_answer(pump: StreamPump) -> None:
    outlet = Outlet()
    pump.attach(outlet)
    pump.meter = EachTime(lambda: pump.hold_back(True))
    pump.data(word("a") + word("b"))
    pump.stop()
    pump.hold_back(False)
    assert b'"b"' not in outlet.data
    assert (pump.tally.finish_reason, pump.ended, did(pump)[-1]) == ("length", True, "cancel")


async def test_the_end_waits_for_what_is_held_back(pump: StreamPump) -> None:
    pump.attach(Outlet())
    pump.meter = EachTime(lambda: pump.hold_back(pump.tally.chunks == 1))
    pump.data(word("a") + word("b") + END)
    pump.end(None)
    assert not pump.ended
    pump.hold_back(False)
    assert pump.ended
    assert pump.fault is None


@pytest.mark.parametrize("pieces", [[], [word("a")]])
async def test_an_end_without_a_reason_is_a_cut(pump: StreamPump, pieces: list[bytes]) -> None:
    for piece in pieces:
        pump.data(piece)
    pump.end(None)
    assert isinstance(pump.fault, UpstreamFault)


async def test_a_whole_answer_to_a_stream_is_taken_apart() -> None:
    import asyncio

    import orjson

    from gateway.testing import openai_completion

    deadline = asyncio.get_running_loop().time() + 30
    made = StreamPump(ChatReader(make_call()), ChatTally(), ChatRelay("ours/m", False), LIMITS, deadline, 0.0)
    made.head(200, JSON)
    made.data(orjson.dumps(openai_completion("Hello", reported=usage(3, 4))))
    made.end(None)
    assert made.fault is None
    assert made.tally.complete
    assert (made.tally.text_bytes, (made.tally.usage or {})["completion_tokens"]) == (5, 4)


async def test_closing_gives_up_the_exchange_and_delivers_nothing_more(pump: StreamPump) -> None:
    outlet = Outlet()
    pump.attach(outlet)
    pump.close()
    pump.data(word("late"))
    pump.end(None)
    assert outlet.data == b""
    assert did(pump) == ["cancel"]


def did(pump: StreamPump) -> Any:
    exchange: Any = pump.exchange
    return exchange.did


async def test_an_opening_is_nothing_of_an_answer_until_it_has_waited_for_long(pump: StreamPump) -> None:
    pump.data(sse(chunk({"role": "assistant", "content": ""})))
    assert not pump.started
    pump._keep_alive()
    assert (pump.started, pump.silent) == (True, False)
    outlet = Outlet()
    pump.attach(outlet)
    assert b'"role"' in outlet.data
    pump.close()


@pytest.mark.parametrize("how", ["silence", "reset"])
@pytest.mark.parametrize("whole", [True, False])
async def test_an_answer_is_whole_although_its_connection_stays_open_or_breaks(
    pump: StreamPump, how: str, whole: bool
) -> None:
    done = did(pump)
    pump.data(word("a") + (END if whole else b""))
    fault = UpstreamFault("x", code="y")
    if how == "silence":
        pump._expire(fault)
        assert done == ["cancel"]
    else:
        pump.end(fault)
    assert pump.ended
    assert pump.fault is (None if whole else fault)
