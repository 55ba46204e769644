"""Time limits on a clock that only moves when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.errors import UpstreamFault
from gateway.upstream.timeouts import Limits, Watchdog

LIMITS = Limits(first_byte=10.0, idle=3.0, total=60.0, max_reply=1, max_event=1)


class Timer:
    def __init__(self, when: float, work: Callable[[], None]) -> None:
        self._when, self.work, self.off = when, work, False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.off = True


class Clock:
    """As much of an event loop as a watchdog uses."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, work: Callable[[], None]) -> Timer:
        self.timers.append(Timer(when, work))
        return self.timers[-1]

    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.off]

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.now + seconds
        while due := [timer for timer in self.pending() if timer.when() <= end]:
            first = min(due, key=Timer.when)
            first.off = True
            self.now = max(self.now, first.when())
            first.work()
        self.now = end


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


class Watched:
    def __init__(self, clock: Clock, quiet: float = 0.0, deadline: float = 160.0) -> None:
        self.faults: list[UpstreamFault] = []
        self.silences: list[float] = []
        self.dog = Watchdog(LIMITS, deadline, self.expire, lambda: self.silences.append(clock.now), quiet)

    def expire(self, fault: UpstreamFault) -> None:
        self.faults.append(fault)
        self.dog.stop()

    @property
    def codes(self) -> list[str | None]:
        return [fault.code for fault in self.faults]


def test_an_answer_that_does_not_begin(clock: Clock) -> None:
    watched = Watched(clock)
    clock.advance(9.9)
    assert watched.codes == []
    clock.advance(0.1)
    assert watched.codes == ["upstream_first_byte_timeout"]
    assert (watched.faults[0].status, watched.faults[0].retryable) == (504, True)
    assert clock.pending() == []


def test_an_answer_that_stops_is_not_tried_again(clock: Clock) -> None:
    watched = Watched(clock)
    clock.advance(9.0)
    watched.dog.touch_in()
    for _ in range(5):
        clock.advance(2.9)
        watched.dog.touch_in()
    assert watched.codes == []
    clock.advance(3.0)
    assert watched.codes == ["upstream_idle_timeout"]
    assert not watched.faults[0].retryable


def test_bytes_cost_no_timer_each(clock: Clock) -> None:
    watched = Watched(clock)
    for _ in range(1000):
        watched.dog.touch_in()
        watched.dog.touch_out()
    assert len(clock.timers) == 1, "one from the start, which is early enough for what counts once bytes come"
    assert len(clock.pending()) == 1


def test_the_whole_answer_has_its_limit_however_busy(clock: Clock) -> None:
    watched = Watched(clock)
    for _ in range(60):
        watched.dog.touch_in()
        clock.advance(1.0)
    assert watched.codes == ["upstream_total_timeout"]


def test_a_deadline_before_the_first_byte_counts(clock: Clock) -> None:
    watched = Watched(clock, deadline=104.0)
    clock.advance(4.0)
    assert watched.codes == ["upstream_total_timeout"]


def test_a_caller_who_does_not_read_is_not_the_providers_fault(clock: Clock) -> None:
    watched = Watched(clock)
    watched.dog.touch_in()
    watched.dog.suspend(True)
    clock.advance(30.0)
    assert watched.codes == []
    watched.dog.suspend(False)
    clock.advance(2.9)
    assert watched.codes == [], "the time that was not read does not count"
    clock.advance(0.1)
    assert watched.codes == ["upstream_idle_timeout"]


def test_the_deadline_counts_also_while_nobody_reads(clock: Clock) -> None:
    watched = Watched(clock)
    watched.dog.touch_in()
    watched.dog.suspend(True)
    clock.advance(60.0)
    assert watched.codes == ["upstream_total_timeout"]


def test_silence_is_told_until_something_is_sent(clock: Clock) -> None:
    watched = Watched(clock, quiet=4.0)
    clock.advance(9.0)
    assert watched.silences == [104.0, 108.0]
    watched.dog.touch_in()
    watched.dog.touch_out()
    clock.advance(2.0)
    assert watched.silences == [104.0, 108.0]


def test_nothing_happens_once_it_is_stopped(clock: Clock) -> None:
    watched = Watched(clock, quiet=1.0)
    watched.dog.stop()
    clock.advance(100.0)
    assert (watched.codes, watched.silences, clock.pending()) == ([], [], [])
