"""Which endpoint takes a request, and what is noted of each attempt."""

from __future__ import annotations

from typing import Any

from gateway.api import CallerFault, UpstreamFault
from gateway.testing import make_target
from gateway.upstream.health import Cooling, HealthBook
from gateway.upstream.lanes import Endpoint, Lane, Lanes

from .bench import Bench
from .kit import LIMITS, FakeProvider


def lanes_of(*weights: float, choice: Any = "least_busy") -> tuple[Lanes, Any, tuple[Lane, ...]]:
    endpoints = [Endpoint(str(number), FakeProvider(), weight) for number, weight in enumerate(weights)]
    lanes = Lanes(lambda name: endpoints, HealthBook(), lambda target: LIMITS, lambda provider: choice)
    target = make_target("m")
    return lanes, target, lanes.of(target)[0]


def busy(lane: Lane, count: int) -> None:
    for circuit in (lane.own, lane.shared):
        for _ in range(count):
            circuit.began(0.0)


def test_the_least_busy_endpoint_for_its_weight_is_taken() -> None:
    lanes, target, (first, second) = lanes_of(1.0, 3.0)
    busy(first, 1)
    busy(second, 3)
    assert lanes.choose(target, 0.0, ()) is second
    busy(second, 3)
    assert lanes.choose(target, 0.0, ()) is first
    assert lanes.choose(target, 0.0, (first,)) is second
    assert lanes.choose(target, 0.0, (first, second)) is None


def test_quiet_endpoints_share_the_work() -> None:
    lanes, target, all_of_them = lanes_of(1.0, 1.0)
    assert {lanes.choose(target, 0.0, ()) for _ in range(100)} == set(all_of_them)


def test_weights_are_shares() -> None:
    lanes, target, (first, second) = lanes_of(1.0, 1e-9, choice="weighted")
    busy(first, 50)
    assert {lanes.choose(target, 0.0, ()) for _ in range(50)} == {first}
    first.shared.adopt(0.0, Cooling(first.shared.name, 5.0, False, ""))
    assert lanes.choose(target, 0.0, ()) is second


def test_the_least_bad_is_the_one_that_is_well_again_first() -> None:
    lanes, target, (first, second) = lanes_of(1.0, 1.0)
    for lane, seconds in ((first, 9.0), (second, 5.0)):
        lane.own.adopt(0.0, Cooling(lane.own.name, seconds, False, ""))
    assert lanes.least_bad([target], ()) == (target, second)
    assert lanes.least_bad([target], (first, second)) is None


def test_each_attempt_is_observed_once_with_its_end() -> None:
    bench = Bench()
    tried = bench.begin()
    bench.now += 0.5
    tried.answers()
    bench.now += 1
    tried.end(None)
    tried.give_up()
    bench.fails(UpstreamFault("no", code="upstream_failed", upstream_status=500, detail="the body"))
    bench.fails(CallerFault("bad", status=422))
    bench.begin().give_up()
    assert [(record.outcome, record.status, record.error) for record in bench.seen] == [
        ("ok", 200, ""),
        ("failed", 500, "upstream_failed"),
        ("refused", 422, "invalid_request_error"),
        ("left", None, ""),
    ]
    first, second, *_ = bench.seen
    assert (first.seconds, first.first_byte, second.first_byte, second.reason) == (1.5, 0.5, None, "the body")
