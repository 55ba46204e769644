"""Rate windows; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, frozen=True)
class Window:
    """State of a sliding window after a hit. `reset`: seconds until the window is wholly free again;
    `retry_after`: seconds until the next hit would be allowed, 0.0 when it is now."""

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


class Counters(Protocol):
    """Rate windows. Exact over every process that shares them; which these are is the store's to say (one process,
    one machine, all). Nothing here needs to survive a restart: a window is forgotten after its length. Asked by every
    request, so it costs microseconds, or one round trip. A store that cannot count fails closed: GatewayFault(503)."""

    async def hit(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """Count one event in every named sliding window of `window` seconds, or, when any of them is full,
        in none of them. Exact: never more than `limit` events within any `window` seconds. The clock is the store's
        own and never goes back, whatever the hosts' clocks do."""

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """The state that `hit` would find, without counting anything."""
