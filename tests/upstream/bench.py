"""A lane on a clock of the test's own, for the tests of its health and of the attempts over it."""

from __future__ import annotations

from typing import Any

from gateway.api import UpstreamFault
from gateway.records import AttemptRecord
from gateway.testing import make_call, make_target
from gateway.upstream.health import CircuitName, CooldownPolicy, HealthBook
from gateway.upstream.lanes import Endpoint, Lane, Try

from .kit import FakeProvider

DOWN = UpstreamFault("down", code="upstream_failed", upstream_status=500)
GONE = UpstreamFault("gone", code="upstream_unreachable")
NAME = CircuitName("p", "1", "m")


class Bench:
    """One lane, a clock, and what was observed."""

    def __init__(self, **policy: Any) -> None:
        self.now = 100.0
        self.book = HealthBook(CooldownPolicy(**{"failures": 2, "pause": 10.0, "longest": 25.0, **policy}))
        self.lane = Lane(
            Endpoint("1", FakeProvider()), self.book.circuit(NAME), self.book.circuit(NAME._replace(model=""))
        )
        self.seen: list[AttemptRecord] = []

    def begin(self) -> Try:
        return Try(make_call(), make_target("m"), self.lane, lambda: self.now, lambda call, record: self.note(record))

    def note(self, record: AttemptRecord) -> None:
        self.seen.append(record)

    def fails(self, fault: Any = DOWN, times: int = 1) -> None:
        for _ in range(times):
            self.begin().end(fault)

    @property
    def usable(self) -> bool:
        return self.lane.usable(self.now)
