"""Work beside the loop: what is small is done at once, what is big on its lane, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.aside import SHORT, SMALL, Aside
from gateway.errors import CallerFault, GatewayFault


@pytest.fixture
def aside() -> Iterator[Aside]:
    found = Aside()
    yield found
    found.close()


async def test_small_work_is_done_at_once_and_big_work_on_the_lane_of_its_size(aside: Aside) -> None:
    here = threading.current_thread().name
    assert await aside(SMALL, lambda: threading.current_thread().name) == here
    assert aside.done == 0
    short = await aside(SMALL + 1, lambda: threading.current_thread().name)
    long = await aside(SHORT + 1, lambda: threading.current_thread().name)
    assert (short.split("_")[0], long.split("_")[0]) == ("gateway-short", "gateway-long")
    assert aside.done == 2


async def test_arguments_results_and_faults_pass(aside: Aside) -> None:
    assert await aside(SHORT, "{}{end}".format, 1, end=2) == "12"

    def refuse() -> None:
        raise CallerFault("no", param="x")

    with pytest.raises(CallerFault) as refused:
        await aside(SHORT, refuse)
    assert refused.value.param == "x"


async def test_a_full_long_lane_stops_neither_the_loop_nor_the_short_lane(aside: Aside) -> None:
    gate = threading.Event()
    big = asyncio.ensure_future(aside(SHORT + 1, gate.wait))
    assert await aside(SMALL + 1, lambda: "done") == "done"
    assert not big.done()
    gate.set()
    assert await big


async def test_work_that_takes_too_long_is_refused_with_a_hint_when_to_come_again() -> None:
    aside, gate = Aside(patience=0.01), threading.Event()
    with pytest.raises(GatewayFault) as refused:
        await aside(SHORT, gate.wait)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (503, "overloaded", 5.0)
    gate.set()
    aside.close()


async def test_a_time_limit_of_the_work_itself_is_no_limit_of_ours(aside: Aside) -> None:
    def late() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await aside(SHORT, late)
