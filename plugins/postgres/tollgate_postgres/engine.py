"""Connections to PostgreSQL, the clock, and what becomes of failures.

A statement that failed because of a serialization conflict or a deadlock was rolled back whole, so it is run again.
When the connection breaks, nobody knows whether the statement was applied: what reads is run again, what is idempotent
too (see `gateway.stores`), and batches of the ledger ask the database what became of them (`lanes`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from gateway.api import GatewayFault

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")

CONNECT_WITHIN = 1.5
"""Seconds for a connection to be made."""
ANSWER_WITHIN = 5.0
"""Seconds for a batch of the ledger, after which the way to the database is taken for broken."""
WAIT_WITHIN = 1.8
"""Seconds that a request waits for a database that is away, before it hears 503: for a connection and what it asks."""
REPORT_WITHIN = 60.0
"""Seconds for what no request of a caller waits for: reports, lists, housekeeping."""
_TRIES = 10


def away(cause: BaseException | None = None) -> GatewayFault:
    """The database cannot be asked."""
    fault = GatewayFault(
        "The gateway's database is away. Try again in a moment.", status=503, code="database_away", retry_after=1.0,
        detail="" if cause is None else f"{type(cause).__name__}: {cause}"[:300],
    )  # fmt: skip
    fault.__cause__ = cause
    return fault


def is_away(error: BaseException) -> bool:
    """Whether this means that the database or the way to it is gone, and not that a statement was wrong."""
    import asyncpg

    return isinstance(
        error,
        (
            OSError,
            TimeoutError,
            asyncpg.InterfaceError,
            # A connection that broke while it was put in order is in no state that the driver knows.
            asyncpg.InternalClientError,
            asyncpg.PostgresConnectionError,
            asyncpg.OperatorInterventionError,
            asyncpg.InsufficientResourcesError,
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
            asyncpg.ReadOnlySQLTransactionError,
        ),
    )


def is_conflict(error: BaseException) -> bool:
    """Whether the transaction lost against another one, was rolled back, and may be run again."""
    import asyncpg

    return isinstance(error, (asyncpg.SerializationError, asyncpg.DeadlockDetectedError))


def count_of(status: str) -> int:
    """The number of rows in a command's tag, such as `DELETE 3`; 0 for one that counts none, such as `DROP TABLE`."""
    number = status.rpartition(" ")[2]
    return int(number) if number.isdecimal() else 0


async def connect(url: str) -> asyncpg.Connection[asyncpg.Record]:
    """One connection that reads and writes `jsonb` as Python values."""
    import asyncpg

    connection = await asyncpg.connect(
        url, timeout=CONNECT_WITHIN, command_timeout=ANSWER_WITHIN,
        server_settings={"application_name": "tollgate", "timezone": "UTC"},
    )  # fmt: skip
    try:
        await _prepare(connection)
    except BaseException:  # cancellation too; it is raised again
        connection.terminate()
        raise
    return connection


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # jsonb travels as a version byte and the text.
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value), decoder=lambda raw: orjson.loads(raw[1:]),
    )  # fmt: skip


async def _leave_in_order(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """What a connection of the pool goes through before the next use. Nothing here changes a session, so there is
    nothing to put back, and the round trip of the driver's own way is saved."""
    if connection.is_in_transaction():
        await connection.reset()


class Database:
    """A pool for what is not money's daily business, and the store's clock.

    clock: unix seconds of the store. By default this machine's, corrected by its distance from the database's clock,
    which is measured at the start and with every renewal of the lease: hosts may disagree, the store does not.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None, most: int = 8) -> None:
        self.url = url
        self._own_clock = clock
        self._distance = 0.0
        self._most = most
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._renewed = float("-inf")
        self._expiring: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the pool. Raises GatewayFault when the database is away."""
        import asyncpg

        try:
            self._pool = await asyncpg.create_pool(
                self.url, min_size=0, max_size=self._most, timeout=CONNECT_WITHIN,
                init=_prepare, reset=_leave_in_order,
                server_settings={"application_name": "tollgate", "timezone": "UTC"},
            )  # fmt: skip
            await self.measure_clock()
        except Exception as error:  # only to sort it: what does not mean "away" is raised as it is
            if is_away(error):
                raise away(error) from error
            raise

    async def close(self) -> None:
        """Let go of all connections, also of broken ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), 2.0)
            except TimeoutError:
                pool.terminate()

    def time(self) -> float:
        """Unix seconds by the store's clock."""
        return self._own_clock() if self._own_clock is not None else time.time() + self._distance

    def now(self) -> int:
        """The same, whole."""
        return int(self.time())

    @property
    def tests_clock(self) -> Callable[[], float] | None:
        """The clock that a test has given, None when there is none."""
        return self._own_clock

    async def measure_clock(self) -> None:
        """How far this machine's clock is from the database's."""
        before = time.time()
        there = await self.value("SELECT extract(epoch FROM clock_timestamp())::double precision")
        self._distance = there - (before + time.time()) / 2

    async def run(
        self,
        work: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[T]],
        *,
        again: bool = True,
        within: float | None = WAIT_WITHIN,
    ) -> T:
        """Run `work` on a connection of the pool, again after conflicts, and (where `again`) once more after a
        connection broke. within: seconds for all of it, None for as long as it takes. Raises GatewayFault(503) when the
        database is away, and the faults of `work`."""
        if self._pool is None:
            raise away()
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        broken: BaseException | None = None
        for _ in range(_TRIES):
            try:
                return await self._once(self._pool, work, until)
            except Exception as error:  # only to sort it: faults of `work` are raised as they are
                if is_conflict(error):
                    continue
                if not is_away(error):
                    raise
                if broken is not None or not again or isinstance(error, TimeoutError):
                    raise away(error) from error
                broken = error
        raise away(broken)

    async def _once(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        work: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[T]],
        until: float | None,
    ) -> T:
        loop = asyncio.get_running_loop()
        left = None if until is None else max(until - loop.time(), 0.001)
        async with pool.acquire(timeout=left) as connection:
            if until is None:
                return await work(connection)  # type: ignore[arg-type]  # the pool's proxy is a connection
            # Its connection is broken off under it: to cancel it would first ask the server to call off the statement,
            # and that would wait on a way that may be gone.
            late = asyncio.Event()
            timer = loop.call_at(until, self._break_off, connection, late)
            try:
                return await work(connection)  # type: ignore[arg-type]  # as above
            except Exception as error:  # only to sort it: what does not come of the breaking off is raised as it is
                if late.is_set() and is_away(error):
                    raise TimeoutError("no answer in time") from error
                raise
            finally:
                timer.cancel()

    def _break_off(self, connection: Any, late: asyncio.Event) -> None:
        """The server says nothing any more. What of the other connections is idle may be as dead, so each is made anew
        before its next use; but not again and again where a server is only slow."""
        late.set()
        connection.terminate()
        now = asyncio.get_running_loop().time()
        if self._pool is not None and now - self._renewed > ANSWER_WITHIN:
            self._renewed = now
            self._expiring = asyncio.get_running_loop().create_task(self._pool.expire_connections())

    async def transaction(
        self, work: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[T]], *, within: float = WAIT_WITHIN
    ) -> T:
        """Run `work` in a transaction of its own. within: as for `run`."""

        async def whole(connection: asyncpg.Connection[asyncpg.Record]) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self.run(whole, again=False, within=within)

    async def rows(self, sql: str, *values: Any, within: float = WAIT_WITHIN) -> Sequence[asyncpg.Record]:
        """All rows of a query. within: as for `run`."""
        return await self.run(lambda connection: connection.fetch(sql, *values), within=within)

    async def row(self, sql: str, *values: Any, within: float = WAIT_WITHIN) -> asyncpg.Record | None:
        """The first row of a query or of a statement that returns one. within: as for `run`."""
        return await self.run(lambda connection: connection.fetchrow(sql, *values), within=within)

    async def value(self, sql: str, *values: Any, within: float = WAIT_WITHIN) -> Any:
        """The first column of the first row. within: as for `run`."""
        return await self.run(lambda connection: connection.fetchval(sql, *values), within=within)

    async def execute(self, sql: str, *values: Any, again: bool = True, within: float = WAIT_WITHIN) -> int:
        """One statement, a transaction of its own; how many rows it touched. again: it may be run once more when the
        connection broke, because twice means the same as once. within: as for `run`."""
        return count_of(await self.run(lambda connection: connection.execute(sql, *values), again=again, within=within))
