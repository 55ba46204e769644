"""Where a call goes next, without sockets and almost without waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.api import UpstreamFault
from gateway.testing import make_call, make_target
from gateway.upstream.health import CooldownPolicy, Cooling, HealthBook
from gateway.upstream.lanes import Endpoint, Lanes
from gateway.upstream.plan import Plan, RetryPolicy

from .kit import LIMITS, FakeProvider

POLICY = RetryPolicy(2, 0.001, 0.01)
FAILED = UpstreamFault("x", code="upstream_failed", retryable=True)
LATE = UpstreamFault("x", code="upstream_first_byte_timeout", retryable=True)
REFUSED = UpstreamFault("x", code="upstream_credentials_refused")


def asked_to_wait(seconds: float) -> UpstreamFault:
    return UpstreamFault("x", code="upstream_rate_limit_exceeded", retryable=True, retry_after=seconds)


class Bench:
    """A plan over targets with so many endpoints each."""

    def __init__(self, *targets: str, endpoints: int = 1, deadline: float = 1e12, failures: int = 3) -> None:
        made = [Endpoint(str(number + 1), FakeProvider(), 1000.0 / 10**number) for number in range(endpoints)]
        self.book = HealthBook(CooldownPolicy(failures, 60.0, 60.0))
        self.lanes = Lanes(lambda name: made, self.book, lambda target: LIMITS)
        self.call: Any = make_call()
        self.call.targets = [make_target(name) for name in targets]
        self.deadline = deadline

    def rest(self, target: str, seconds: float, *, asked: bool = False, endpoint: str = "1") -> None:
        for found in self.call.targets:
            for lane in self.lanes.of(found)[0]:
                if (found.upstream, lane.endpoint.label) == (target, endpoint):
                    now = asyncio.get_running_loop().time()
                    lane.own.adopt(now, Cooling(lane.own.name, seconds, asked, ""))

    def plan(self) -> Plan:
        return Plan(self.call, self.lanes, POLICY, self.deadline)

    async def goes(self, *faults: UpstreamFault) -> list[str]:
        """The places that are tried when each attempt ends so; `!` when nothing is left before the faults are."""
        plan = self.plan()
        went = [f"{plan.target.upstream}{plan.lane.endpoint.label}"]
        for fault in faults:
            plan.lane.own.began(0.0)
            plan.lane.own.failed(plan.clock(), fault, trial=False)
            try:
                await plan.advance(fault)
            except UpstreamFault:
                return [*went, "!"]
            went.append(f"{plan.target.upstream}{plan.lane.endpoint.label}")
        return went


async def test_what_failed_at_once_is_tried_again_there_until_it_cools() -> None:
    assert await Bench("a", "b").goes(FAILED, FAILED, FAILED) == ["a1", "a1", "a1", "b1"]
    assert await Bench("a").goes(FAILED, FAILED, FAILED) == ["a1", "a1", "a1", "!"]
    assert await Bench("a", "b", failures=2).goes(FAILED, FAILED) == ["a1", "a1", "b1"]


async def test_a_time_limit_and_what_mends_itself_never_go_elsewhere_at_once() -> None:
    assert await Bench("a", "b").goes(LATE, FAILED) == ["a1", "b1", "b1"]
    assert await Bench("a").goes(LATE) == ["a1", "!"]
    assert await Bench("a", "b").goes(REFUSED, REFUSED) == ["a1", "b1", "!"]


async def test_other_endpoints_of_the_provider_come_first() -> None:
    assert await Bench("a", "b", endpoints=3).goes(LATE, FAILED, FAILED, FAILED) == ["a1", "a2", "a3", "a3", "a3"]
    assert await Bench("a", "b", endpoints=2).goes(asked_to_wait(30), asked_to_wait(30)) == ["a1", "a2", "b1"]


async def test_who_asks_for_a_moment_gets_it_only_if_nobody_else_can_answer() -> None:
    assert await Bench("a", "b").goes(asked_to_wait(0.001)) == ["a1", "b1"]
    assert await Bench("a").goes(asked_to_wait(0.001)) == ["a1", "a1"]
    assert await Bench("a").goes(asked_to_wait(30)) == ["a1", "!"]


async def test_what_cools_is_passed_over_and_the_least_bad_is_tried_once() -> None:
    bench = Bench("a", "b", "c")
    bench.rest("a", 50)
    assert await bench.goes() == ["b1"]
    bench.rest("b", 20)
    bench.rest("c", 30)
    assert await bench.goes(FAILED) == ["b1", "!"]


async def test_what_cools_is_tried_when_all_others_have_failed() -> None:
    bench = Bench("a", "b")
    bench.rest("a", 50)
    assert await bench.goes(LATE, LATE) == ["b1", "a1", "!"]


async def test_a_short_rest_that_was_asked_for_is_waited_for() -> None:
    bench = Bench("a")
    bench.rest("a", 0.005, asked=True)
    plan = bench.plan()
    await plan.ready()
    assert plan.clock() >= plan.lane.rests_until()
    bench.rest("a", 500, asked=True)
    await bench.plan().ready()  # too long to wait for: it is tried


async def test_nothing_is_tried_after_the_time_of_the_call() -> None:
    assert await Bench("a", "b", deadline=0.0).goes(FAILED) == ["a1", "!"]


async def test_a_failed_attempt_cost_nothing_and_what_it_dropped_is_forgotten() -> None:
    bench = Bench("a", "b")
    bench.call.dropped.append("before")
    plan = bench.plan()
    bench.call.attempts = 1
    bench.call.dropped.append("meanwhile")
    await plan.advance(LATE)
    assert (bench.call.progress.refused, list(bench.call.dropped)) == (1, ["before"])


@pytest.mark.parametrize("limit", ["first_byte", "connect", "total"])
async def test_every_time_limit_moves_on(limit: str) -> None:
    fault = UpstreamFault("x", code=f"upstream_{limit}_timeout", retryable=limit != "total")
    assert await Bench("a", "b").goes(fault) == ["a1", "b1"]
