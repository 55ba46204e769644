"""Rate windows in PostgreSQL: exact over all gateways. What is asked while a question is on its way is the next one, so
a busy process makes few round trips. Redis takes the load off the database (`tollgate-redis`).

Nearly always every window has room for all that a batch counts in it. Then the database is told only how many events
that are, and what each who asked is told is worked out here; else it goes through the questions one after the other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.api.stores import Window, window_of
from tollgate_postgres.engine import REPORT_WITHIN, Database

if TYPE_CHECKING:
    import asyncpg

_MOST = 64
_PRUNE = "DELETE FROM windows WHERE newest < gw_clock() - length"
_PRUNE_HITS = "DELETE FROM hits WHERE slot < floor(gw_clock() - length)"

_Limits = Sequence[tuple[str, int]]


@dataclass(slots=True)
class _Ask:
    """One question: count in all windows of `counted` or in none of them, and look at those of `seen`. length: of all
    of them, seconds."""

    counted: _Limits
    seen: _Limits
    length: float
    future: asyncio.Future[Sequence[Window]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def parts(self) -> list[dict[str, Any]]:
        """As `gw_windows` takes them."""
        return [
            {"n": [name for name, _ in limits], "l": [limit for _, limit in limits], "w": self.length, "c": counts}
            for limits, counts in ((self.counted, True), (self.seen, False))
            if limits
        ]


class PostgresCounters:
    """`gateway.stores.Counters`. monotonic: a test's clock; the database's own is used without it."""

    def __init__(self, database: Database, monotonic: Callable[[], float] | None = None) -> None:
        self._database = database
        self._monotonic = monotonic
        self._waiting: list[_Ask] = []
        self._asking: asyncio.Task[None] | None = None

    async def hit(self, names_and_limits: _Limits, window: float, *, seen: _Limits = ()) -> Sequence[Window]:
        """Count in every window, or in none."""
        return await self._ask(_Ask(names_and_limits, seen, float(window)))

    async def peek(self, names_and_limits: _Limits, window: float) -> Sequence[Window]:
        """What `hit` would find."""
        return await self._ask(_Ask((), names_and_limits, float(window)))

    async def _ask(self, ask: _Ask) -> Sequence[Window]:
        if not ask.counted and not ask.seen:
            return []
        self._waiting.append(ask)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask_all())
        return await ask.future

    async def _ask_all(self) -> None:
        """Until nobody waits."""
        try:
            while self._waiting:
                # Who was woken together with this one asks now, and not in a batch of its own.
                await asyncio.sleep(0)
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._answer(batch)
        finally:
            self._asking = None
            for ask in self._waiting:
                ask.future.cancel()
            self._waiting = []

    async def _answer(self, batch: Sequence[_Ask]) -> None:
        now = self._monotonic() if self._monotonic is not None else None
        try:
            answers = await self._database.run(
                lambda connection: _ask_database(connection, batch, now),
                # Counted twice would be one too many; the callers hear 503.
                again=not any(ask.counted for ask in batch),
            )
        except asyncio.CancelledError:
            for ask in batch:
                ask.future.cancel()
            raise
        except Exception as error:  # whatever it is, everybody who waits must hear of it
            for ask in batch:
                if not ask.future.done():
                    ask.future.set_exception(error)
            return
        for ask, answer in zip(batch, answers, strict=True):
            if not ask.future.done():
                ask.future.set_result(answer)

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


async def _ask_database(
    connection: asyncpg.Connection[asyncpg.Record], batch: Sequence[_Ask], now: float | None
) -> list[list[Window]]:
    """What each is told. now: a test's time, None for the database's."""
    lengths = {ask.length for ask in batch}
    if len(lengths) == 1:
        told = await _ask_together(connection, batch, lengths.pop(), now)
        if told is not None:
            return told
    parts = [part for ask in batch for part in ask.parts()]
    answers = iter(await connection.fetchval("SELECT gw_windows($1, $2)", parts, now))
    return [
        [
            window_of(allowed, limit, count=live, newest=newest, freeing=freeing, now=at, window=ask.length)
            for part in ask.parts()
            for allowed, at, found in [next(answers)]
            for limit, (live, newest, freeing) in zip(part["l"], found, strict=True)
        ]
        for ask in batch
    ]


async def _ask_together(
    connection: asyncpg.Connection[asyncpg.Record], batch: Sequence[_Ask], length: float, now: float | None
) -> list[list[Window]] | None:
    """Where every window keeps room after all of it; None, and nothing is counted, where one does not."""
    adds: Counter[str] = Counter()
    rooms: dict[str, int] = {}
    for ask in batch:
        for name, limit in ask.counted:
            adds[name] += 1
            rooms[name] = min(rooms.get(name, limit), limit - 1)
        for name, limit in ask.seen:
            rooms[name] = min(rooms.get(name, limit), limit - 1)
    names = sorted(rooms)
    [(at, live, newest)] = await connection.fetch(
        "SELECT * FROM gw_hit_all($1, $2, $3, $4, $5)",
        names, length, [adds[name] for name in names], [rooms[name] for name in names], now,
    )  # fmt: skip
    if live is None:
        return None
    counts, newests = dict(zip(names, live, strict=True)), dict(zip(names, newest, strict=True))
    told = []
    for ask in batch:
        for name, _ in ask.counted:
            counts[name] += 1
            newests[name] = at
        told.append(
            [
                window_of(True, limit, count=counts[name], newest=newests[name], freeing=0.0, now=at, window=length)
                for name, limit in (*ask.counted, *ask.seen)
            ]
        )
    return told
