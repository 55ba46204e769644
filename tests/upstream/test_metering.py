"""How much of a stream is paid for, with a pump that only notes what it is told."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.errors import GatewayFault
from gateway.testing import make_call
from gateway.upstream.metering import StreamMeter


class Tally:
    def __init__(self) -> None:
        self.chunks = 0
        self.text_bytes = 0
        self.complete = False
        self.usage: dict[str, Any] | None = None


class Pump:
    def __init__(self) -> None:
        self.tally = Tally()
        self.meter: object = "the meter"
        self.ended = False
        self.held = False
        self.stopped = 0

    def hold_back(self, on: bool) -> None:
        self.held = on

    def stop(self) -> None:
        self.stopped += 1
        self.ended = True


class Metered:
    """A stream whose call covers 100 tokens. gains: what each question brings; an exception is raised."""

    def __init__(self, *gains: int | Exception | None, cover: int = 100) -> None:
        self.call = make_call()
        self.call.covered = cover
        self.pump = Pump()
        self.asked: list[int] = []
        self.tasks: list[Coroutine[Any, Any, None]] = []
        self._gains = list(gains)
        log = logging.getLogger("test.metering")
        log.disabled = True
        self.meter = StreamMeter(self.call, self.pump, self._extend, self._spawn, log)  # type: ignore[arg-type]

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(work)

    async def _extend(self, call: Any, tokens: int) -> bool:
        self.asked.append(tokens)
        gain = self._gains.pop(0)
        if isinstance(gain, Exception):
            raise gain
        call.covered = None if gain is None else call.covered + gain
        return gain is None or gain > 0

    def relay(self, chunks: int, each: int = 1) -> None:
        self.pump.tally.chunks += chunks
        self.pump.tally.text_bytes += chunks * each
        self.look()

    def look(self) -> None:
        """As the pump does."""
        tally, meter = self.pump.tally, self.meter
        if tally.chunks >= meter.from_chunks or tally.text_bytes >= meter.from_bytes or tally.usage:
            meter.look()

    async def answer(self) -> None:
        await self.tasks.pop(0)


async def test_more_is_asked_for_in_time_and_once() -> None:
    metered = Metered(100)
    metered.relay(49)
    assert metered.tasks == []
    metered.relay(1)
    metered.relay(10)
    assert len(metered.tasks) == 1
    assert not metered.pump.held
    await metered.answer()
    assert metered.call.covered == 200
    metered.relay(89)
    assert metered.tasks == []
    metered.relay(1)
    assert len(metered.tasks) == 1, "half a step before the new cover is used up"
    metered.tasks.pop().close()


async def test_bytes_count_like_tokens() -> None:
    metered = Metered(1000)
    metered.relay(1, each=99)
    assert metered.tasks == []
    metered.relay(1, each=1)
    assert len(metered.tasks) == 1, "100 bytes may be 50 tokens"
    assert not metered.pump.held
    metered.relay(1, each=200)
    assert metered.pump.held, "300 bytes are 100 tokens"
    await metered.answer()
    assert not metered.pump.held


async def test_what_the_provider_reports_counts() -> None:
    metered = Metered(0, 0)
    metered.pump.tally.usage = {"completion_tokens": 100}
    metered.relay(1)
    assert metered.pump.held
    await metered.answer()
    assert metered.pump.stopped == 1


@pytest.mark.parametrize("no", [0, GatewayFault("the database is away")])
async def test_a_stream_goes_on_for_what_is_covered_and_is_asked_for_once_more(no: int | Exception) -> None:
    metered = Metered(no, 0)
    metered.relay(60)
    await metered.answer()
    assert (metered.pump.stopped, metered.pump.held) == (0, False)
    metered.relay(39)
    assert metered.tasks == [], "it was refused, and there is some left"
    metered.relay(1)
    assert metered.pump.held
    assert len(metered.tasks) == 1
    await metered.answer()
    assert metered.pump.stopped == 1
    assert metered.asked == [60, 100]


async def test_a_no_that_came_early_is_not_the_last_word() -> None:
    metered = Metered(0, 50)
    metered.relay(60)
    await metered.answer()
    metered.relay(40)
    await metered.answer()
    assert (metered.pump.stopped, metered.pump.held) == (0, False)
    assert metered.call.covered == 150


async def test_nothing_is_held_back_once_all_is_covered() -> None:
    metered = Metered(None)
    metered.relay(100)
    assert metered.pump.held
    await metered.answer()
    assert not metered.pump.held
    assert metered.pump.meter is None, "nothing is left to look at"


async def test_an_answer_that_is_whole_waits_for_nobody() -> None:
    metered = Metered()
    metered.pump.tally.complete = True
    metered.relay(500)
    assert (metered.pump.held, metered.tasks) == (False, [])


async def test_a_stream_that_ended_while_it_was_asked_is_left_alone() -> None:
    metered = Metered(0)
    metered.relay(100)
    metered.pump.ended = True
    await metered.answer()
    assert metered.pump.stopped == 0


async def test_far_from_the_cover_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text of many bytes a token is counted again when it may be used up, and not with each event."""
    stream, counted = Metered(10_000, cover=10_000), 0
    count = StreamMeter._told

    def noted(meter: StreamMeter) -> int:
        nonlocal counted
        counted += 1
        return count(meter)

    monkeypatch.setattr(StreamMeter, "_told", noted)
    for _ in range(999):
        stream.relay(1, each=10)
    assert stream.tasks == []
    assert 0 < counted <= 30
    stream.relay(1, each=10)
    await stream.answer()
    assert stream.asked == [2500], "and not a byte too late"


async def test_a_count_that_grows_at_once_is_seen_in_time() -> None:
    """Text that was taken for prose while there was little of it, and is a token for each byte."""
    stream = Metered(10_000)
    stream.pump.tally.text_tokens = 0.0  # type: ignore[attr-defined]
    for size in range(1, 200):
        stream.pump.tally.text_bytes = size
        stream.pump.tally.text_tokens = size / 4 if size < 64 else float(size)  # type: ignore[attr-defined]
        stream.look()
        assert bool(stream.tasks) is (size >= 64), size
        if stream.tasks:
            break
    await stream.answer()
