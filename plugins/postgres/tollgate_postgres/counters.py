"""Rate windows in PostgreSQL: exact over all gateways, one round trip for each hit. Redis does it faster
(`tollgate-redis`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.api.stores import Window, window_state
from tollgate_postgres.engine import Database

_PRUNE = """
    DELETE FROM windows WHERE coalesce(times[array_length(times, 1)], 0) < gw_clock() - length
"""


class PostgresCounters:
    """`gateway.stores.Counters`. monotonic: a test's clock; the database's own is used without it."""

    def __init__(self, database: Database, monotonic: Callable[[], float] | None = None) -> None:
        self._database = database
        self._monotonic = monotonic

    async def hit(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """Count in every window, or in none."""
        return await self._ask(names_and_limits, window, count=True)

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """What `hit` would find."""
        return await self._ask(names_and_limits, window, count=False)

    async def _ask(self, asked: Sequence[tuple[str, int]], window: float, *, count: bool) -> Sequence[Window]:
        if not asked:
            return []
        names, limits = [name for name, _ in asked], [limit for _, limit in asked]
        now = self._monotonic() if self._monotonic is not None else None
        found = await self._database.run(
            lambda connection: connection.fetchval(
                "SELECT gw_hit($1, $2, $3, $4, $5)", names, limits, float(window), now, count
            ),
            # Counted twice would be one too many; the caller hears 503.
            again=not count,
        )
        times = found["times"]
        return [
            window_state(found["allowed"], limit, times.get(name, ()), found["now"], window) for name, limit in asked
        ]

    async def prune(self) -> int:
        """Windows that are over."""
        return await self._database.execute(_PRUNE)
