"""Counters that may go away, with others in their place."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayFault
from gateway.stores.counters import SpareCounters
from gateway.stores.windows import SlidingWindows
from gateway.testing.stores_contract import Clock

AWAY = GatewayFault("away", status=503, code="counters_away")


class Flaky(SlidingWindows):
    """Counts, or is away; knows how often it was asked."""

    def __init__(self, clock):
        super().__init__(clock.monotonic)
        self.away = False
        self.fault = AWAY
        self.told = []
        self.asked = 0
        self.closed = False

    async def hit(self, names_and_limits, window, *, seen=()):
        self.asked += 1
        if self.away:
            raise self.fault
        return await super().hit(names_and_limits, window, seen=seen)

    async def close(self):
        self.closed = True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def first(clock):
    return Flaky(clock)


def made(first, spare, clock):
    return SpareCounters(first, spare, first.told.append, monotonic=clock.monotonic)


async def hit(counters, limit=2):
    [window] = await counters.hit([("a", limit)], 60.0)
    return window.allowed


async def test_the_first_counts_while_it_is_there(first, clock):
    spare = SlidingWindows(clock.monotonic)
    counters = made(first, spare, clock)
    assert [await hit(counters) for _ in range(3)] == [True, True, False]
    assert (len(spare), counters.away) == (0, False)


@pytest.mark.parametrize("fault", [AWAY, OSError("a plugin's own")])
async def test_the_spare_ones_limit_meanwhile_and_the_first_is_tried_now_and_then(first, clock, fault):
    counters = made(first, SlidingWindows(clock.monotonic), clock)
    first.away, first.fault = True, fault
    assert [await hit(counters) for _ in range(3)] == [True, True, False]
    assert (first.asked, counters.away) == (1, True)
    assert first.told == [fault] * isinstance(fault, OSError)
    [peeked] = await counters.peek([("a", 2)], 60.0)
    assert (peeked.remaining, first.asked) == (0, 1)
    clock.move(1.0)
    await hit(counters)
    assert (first.asked, len(first.told)) == (2, isinstance(fault, OSError))
    first.away = False
    clock.move(1.0)
    assert await hit(counters)
    assert not counters.away


@pytest.mark.parametrize("fault", [AWAY, OSError("a plugin's own")])
async def test_without_spare_ones_it_refuses(first, clock, fault):
    counters = made(first, None, clock)
    first.away, first.fault = True, fault
    for _ in range(2):
        with pytest.raises(GatewayFault) as fault:
            await hit(counters)
        assert (fault.value.status, fault.value.code) == (503, "counters_away")
    assert first.asked == 1
    await counters.close()
    assert first.closed
