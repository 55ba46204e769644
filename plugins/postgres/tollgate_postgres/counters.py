"""Rate windows in PostgreSQL: exact over all gateways. What is asked while a question is on its way is the next one, so
a busy process makes few round trips. Redis takes the load off the database (`tollgate-redis`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from gateway.api.stores import Window, window_of
from tollgate_postgres.engine import REPORT_WITHIN, Database

_MOST = 64
_PRUNE = "DELETE FROM windows WHERE newest < gw_clock() - length"
_PRUNE_HITS = "DELETE FROM hits WHERE slot < floor(gw_clock() - length)"


class PostgresCounters:
    """`gateway.stores.Counters`. monotonic: a test's clock; the database's own is used without it."""

    def __init__(self, database: Database, monotonic: Callable[[], float] | None = None) -> None:
        self._database = database
        self._monotonic = monotonic
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[Any]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def hit(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """Count in every window, or in none."""
        return await self._ask(names_and_limits, window, count=True)

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """What `hit` would find."""
        return await self._ask(names_and_limits, window, count=False)

    async def _ask(self, asked: Sequence[tuple[str, int]], window: float, *, count: bool) -> Sequence[Window]:
        if not asked:
            return []
        loop = asyncio.get_running_loop()
        names, limits = zip(*asked, strict=True)
        future = loop.create_future()
        self._waiting.append(({"n": names, "l": limits, "w": float(window), "c": count}, future))
        if self._asking is None:
            self._asking = loop.create_task(self._ask_all())
        allowed, now, found = await future
        return [
            window_of(allowed, limit, count=live, newest=newest, freeing=freeing, now=now, window=window)
            for limit, (live, newest, freeing) in zip(limits, found, strict=True)
        ]

    async def _ask_all(self) -> None:
        """Until nobody waits."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._answer(batch)
        finally:
            self._asking = None
            for _, future in self._waiting:
                future.cancel()
            self._waiting = []

    async def _answer(self, batch: Sequence[tuple[dict[str, Any], asyncio.Future[Any]]]) -> None:
        asks = [ask for ask, _ in batch]
        now = self._monotonic() if self._monotonic is not None else None
        try:
            answers = await self._database.run(
                lambda connection: connection.fetchval("SELECT gw_windows($1, $2)", asks, now),
                # Counted twice would be one too many; the callers hear 503.
                again=not any(ask["c"] for ask in asks),
            )
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # whatever it is, everybody who waits must hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def prune(self) -> None:
        """Windows that are over."""
        await self._database.execute(_PRUNE, within=REPORT_WITHIN)
        await self._database.execute(_PRUNE_HITS, within=REPORT_WITHIN)

    async def close(self) -> None:
        """Nobody asks any more."""
        asking = self._asking
        if asking is not None:
            asking.cancel()
            await asyncio.wait([asking])
