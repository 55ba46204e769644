"""The record of a target, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api import CallerFault, UpstreamFault
from gateway.upstream.health import CircuitName, CooldownPolicy, Cooling, HealthBook, merge_health

from .bench import DOWN, GONE, NAME, Bench


def test_it_cools_after_failures_in_a_row_and_a_good_answer_begins_the_row_anew() -> None:
    bench = Bench()
    bench.fails()
    bench.begin().end(None)
    bench.fails()
    assert bench.usable
    bench.fails()
    assert not bench.usable
    assert bench.lane.own.state(bench.now) == "cooling"
    assert bench.lane.own.describe(bench.now)["cooling_seconds"] == 10
    assert bench.lane.shared.usable(bench.now), "another model at the same endpoint may be well: it answered"


def test_one_trial_at_a_time_and_its_failure_doubles_the_time() -> None:
    bench = Bench()
    bench.fails(times=2)
    bench.now += 10
    assert bench.lane.own.state(bench.now) == "half_open"
    assert bench.usable
    trial = bench.begin()
    assert not bench.usable, "all others go elsewhere"
    trial.end(DOWN)
    assert bench.lane.own.until == bench.now + 20
    bench.now += 20
    bench.fails()
    assert bench.lane.own.until == bench.now + 25, "at most `longest`"
    bench.now += 25
    trial = bench.begin()
    trial.answers()
    assert bench.usable, "an answer that has begun is enough"
    trial.end(None)
    assert (bench.lane.own.consecutive, bench.lane.own.level, bench.lane.own.in_flight) == (0, 0, 0)


def test_a_trial_that_is_given_up_leaves_the_place_to_the_next() -> None:
    bench = Bench()
    bench.fails(times=2)
    bench.now += 10
    bench.begin().give_up()
    assert bench.usable


def test_a_stream_that_breaks_after_it_began_is_a_failure() -> None:
    """Else a provider that flaps would never cool: each of its streams begins well."""
    bench = Bench()
    for _ in range(2):
        tried = bench.begin()
        tried.answers()
        tried.end(UpstreamFault("cut", code="upstream_disconnected"))
    assert not bench.usable


def test_what_the_target_asks_for_counts_at_once_and_an_older_answer_does_not_end_it() -> None:
    bench = Bench()
    older = bench.begin()
    bench.now += 1
    bench.fails(UpstreamFault("slow down", code="upstream_rate_limit_exceeded", upstream_status=429, retry_after=7.0))
    assert bench.lane.rests_until() == bench.now + 7
    assert bench.lane.asked_to_rest()
    older.end(None)
    assert not bench.usable
    bench.fails(UpstreamFault("tomorrow", upstream_status=429, retry_after=86_400.0))
    assert bench.lane.rests_until() == bench.now + 25


def test_what_concerns_the_address_or_the_key_cools_all_models_there() -> None:
    for code in ("upstream_unreachable", "upstream_connect_timeout", "upstream_credentials_refused"):
        bench = Bench()
        bench.fails(UpstreamFault("x", code=code), times=2)
        assert not bench.lane.shared.usable(bench.now)
        assert bench.lane.own.usable(bench.now)
        assert not bench.usable


@pytest.mark.parametrize(
    "fault",
    [
        CallerFault("your request is wrong"),
        UpstreamFault("too long", code="upstream_reply_too_large"),
        UpstreamFault("too long", code="upstream_event_too_large"),
    ],
)
def test_what_is_not_the_targets_fault_says_nothing(fault: Any) -> None:
    bench = Bench()
    bench.fails(fault, times=5)
    assert bench.usable
    assert bench.lane.own.in_flight == 0


def test_failures_side_by_side_do_not_lengthen_the_time() -> None:
    bench = Bench()
    together = [bench.begin() for _ in range(10)]
    for tried in together:
        tried.end(GONE)
    assert bench.lane.shared.until == bench.now + 10


def test_zero_failures_switches_it_off() -> None:
    bench = Bench(failures=0)
    bench.fails(UpstreamFault("x", upstream_status=429, retry_after=5.0), times=9)
    assert bench.usable


def test_processes_tell_each_other() -> None:
    here, there = HealthBook(CooldownPolicy(1, 10.0, 60.0)), HealthBook()
    told: list[Cooling] = []
    here.told = told.append
    mine, theirs = here.circuit(NAME), there.circuit(NAME)
    mine.began(0.0)
    mine.failed(0.0, GONE, trial=False)
    there.adopt(1000.0, told[-1])
    assert (theirs.state(1009.0), theirs.state(1010.0), theirs.last_fault) == ("cooling", "half_open", GONE.code)
    mine.began(11.0)
    mine.answered(11.0, 0.0)
    there.adopt(1011.0, told[-1])
    assert theirs.state(1011.0) == "closed"
    there.adopt(0.0, Cooling(CircuitName("other", "1"), 5.0, False, ""))
    assert len(list(there)) == 1, "what this process does not know is not kept"


def test_one_process_at_a_time_tries_and_its_failures_double_the_time_for_all() -> None:
    books = [HealthBook(CooldownPolicy(1, 10.0, 300.0)) for _ in range(3)]
    circuits = [book.circuit(NAME) for book in books]

    def tell(told: Cooling) -> None:
        for circuit in circuits:
            if circuit is not teller:
                circuit.adopt(now, Cooling.of(told.data()))

    for book in books:
        book.told = tell
    now, teller = 0.0, circuits[0]
    teller.began(now)
    teller.failed(now, GONE, trial=False)
    for seconds in (10, 20, 40):
        assert [circuit.usable(now + seconds - 0.1) for circuit in circuits] == [False] * 3
        now += seconds
        assert [circuit.usable(now) for circuit in circuits] == [True] * 3
        teller = circuits[(circuits.index(teller) + 1) % 3]
        assert teller.began(now)
        assert [circuit.usable(now + 59) for circuit in circuits] == [False] * 3, "it tries for all of them"
        now += 2
        teller.failed(now, GONE, trial=True)
    now += 80
    assert teller.began(now)
    teller.answered(now, 0.1)
    teller.succeeded()
    assert [circuit.state(now) for circuit in circuits] == ["closed"] * 3
    teller = circuits[0]
    teller.began(now)
    teller.failed(now, GONE, trial=False)
    assert [circuit.until - now for circuit in circuits[1:]] == [10.0] * 2, "from the beginning"


def test_a_trial_of_which_nothing_is_heard_is_made_by_another_process() -> None:
    here = HealthBook().circuit(NAME)
    here.adopt(0.0, Cooling(NAME, 60.0, False, "x", trial=True))
    assert here.usable(0.0), "what is well here is not tried anywhere"
    here.adopt(0.0, Cooling(NAME, 10.0, False, "x"))
    here.adopt(10.0, Cooling(NAME, 60.0, False, "x", trial=True))
    assert (here.usable(69.0), here.usable(70.0)) == (False, True)
    assert here.began(70.0)
    here.adopt(71.0, Cooling(NAME, 60.0, False, "x", trial=True))
    assert here.state(72.0) == "half_open", "its own goes on"


def test_circuits_of_endpoints_that_are_gone_are_dropped() -> None:
    book = HealthBook()
    book.circuit(CircuitName("p", "1", "m", "old"))
    kept = book.circuit(CircuitName("p", "1", "m", "new"))
    book.forget_all_but({"new"})
    assert list(book) == [kept]


def test_the_records_of_several_processes_are_one() -> None:
    first, second, third = Bench(), Bench(), Bench()
    for bench, seconds in ((first, 1.0), (second, 3.0)):
        tried = bench.begin()
        bench.now += seconds
        tried.end(None)
    second.fails(times=2)
    records = [[bench.lane.own.describe(bench.now)] for bench in (first, second, third)]
    [merged] = merge_health(records)
    assert (merged["successes"], merged["failures"], merged["consecutive_failures"], merged["in_flight"]) == (
        2,
        2,
        2,
        0,
    )
    assert (merged["state"], merged["cooling_seconds"], merged["last_error"]) == ("cooling", 10.0, "upstream_failed")
    assert merged["latency_ms"] == 2000.0
    assert merge_health(records[2:]) == records[2]


def test_what_processes_tell_is_json() -> None:
    told = Cooling(NAME, 5.0, True, "x", 3, True)
    assert Cooling.of(told.data()) == told
    older = {name: value for name, value in told.data().items() if name not in ("level", "trial")}
    assert Cooling.of(older) == Cooling(NAME, 5.0, True, "x")
