"""What was used, and how often: the usage log and rate windows; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.call import Basis, Usage


@dataclass(slots=True, frozen=True)
class UsageRow:
    """One request in the usage log. created: unix seconds; milliseconds for the two durations.
    model: what the caller asked for; target: the model that answered, "" when none did."""

    request_id: str
    account_id: str
    key_id: str
    model: str
    target: str
    route: str
    status: int
    usage: Usage
    basis: Basis
    created: int
    first_byte_ms: int | None = None
    total_ms: int = 0
    error: str = ""


@dataclass(slots=True, frozen=True)
class LoggedRequest:
    """A usage row as read back; seq: grows with every row; credits: what the ledger charged for it."""

    seq: int
    credits: int
    row: UsageRow


@dataclass(slots=True, frozen=True)
class UsageSummary:
    """The figures of `GET /usage`: totals; `(day, credits, requests)` per UTC day with any use, ascending;
    `(model, credits)`, most credits first. The credits are the ledger's own charges, booked on the day and under
    the model of their hold; tokens and requests come from the usage log."""

    balance: int
    credits: int
    tokens: int
    requests: int
    daily: Sequence[tuple[str, int, int]] = ()
    by_model: Sequence[tuple[str, int]] = ()


@dataclass(slots=True, frozen=True)
class Window:
    """State of a sliding window after a hit. `reset`: seconds until the window is wholly free again;
    `retry_after`: seconds until the next hit would be allowed, 0.0 when it is now."""

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


class UsageLog(Protocol):
    """What happened; never the source of a bill."""

    def record(self, row: UsageRow) -> None:
        """Hand over one row; it is written with the next batch, before any later operation returns.
        A second row for the same held request is ignored."""

    async def summary(self, account_id: str, *, start: int, end: int, key_id: str | None = None) -> UsageSummary:
        """Sums over rows with start <= created < end (unix seconds on UTC day borders)."""

    async def recent(
        self, account_id: str | None = None, *, before: int = 0, limit: int = 50, key_id: str | None = None
    ) -> list[LoggedRequest]:
        """Rows of the log, newest first; `before` is the `seq` of the last row of the page before."""

    async def prune(self, before: int) -> int:
        """Delete the rows created before this time (unix seconds); sums stay. Returns how many."""


class Counters(Protocol):
    """Rate windows."""

    async def hit(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """Count one event in every named sliding window of `window` seconds, or, when any of them is full,
        in none of them. Exact: never more than `limit` events within any `window` seconds."""

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """The state that `hit` would find, without counting anything."""
