"""What all stores of one process share: the writer, connections that only read, clocks."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from gateway.api import GatewayFault
from gateway.sqlite.engine.operation import unavailable
from gateway.sqlite.engine.writer import Writer
from gateway.sqlite.money.operations import SqlOperation
from gateway.sqlite.money.unit_of_work import Names

T = TypeVar("T")
Row = tuple[Any, ...]

_PATIENCE = 5.0
"""Seconds to wait for others' locks."""


def open_writing(path: Path) -> sqlite3.Connection:
    """A connection for the writer: write-ahead log, every commit synced to the disk (`synchronous=FULL`), for any
    thread that uses it alone."""
    connection = sqlite3.connect(
        path, isolation_level=None, cached_statements=256, timeout=_PATIENCE, check_same_thread=False
    )
    _log_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    # What people wrote and deleted leaves the file with the next checkpoint. Money is never deleted: it costs nothing.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 2000")
    # After a burst, or a long audit that kept the log from being folded in, the log file shrinks again.
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cache_size = -8000")
    return connection


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. Of several processes that do so on a new file SQLite refuses all but one at once,
    whatever the timeout: each might wait for the others' read locks for ever."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(random.uniform(0.001, 0.01))  # at random, so that they do not meet again


class Reader:
    """Connections that cannot write. Lookups of a row have their own, so that a long listing never delays them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._quick: aiosqlite.Connection | None = None
        self._slow: aiosqlite.Connection | None = None

    async def open(self) -> None:
        """Connect; the database must exist."""
        self._quick = await self._connect()
        self._slow = await self._connect()

    async def _connect(self) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(self._path, isolation_level=None, cached_statements=64, timeout=5.0)
        await connection.execute_fetchall("PRAGMA query_only = ON")
        return connection

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        for connection in (self._quick, self._slow):
            if connection is not None:
                await connection.close()
        self._quick = self._slow = None

    async def rows(self, sql: str, values: Iterable[Any] = (), *, slow: bool = False) -> list[Row]:
        """All rows of a query, in one hop to the connection's thread, outside any transaction.
        slow: use the connection for listings and sums."""
        connection = self._slow if slow else self._quick
        if connection is None:
            raise GatewayFault("The gateway is stopping.", status=503, code="stopping", retry_after=1.0)
        try:
            return list(await connection.execute_fetchall(sql, values))  # type: ignore[arg-type]
        except sqlite3.OperationalError as problem:
            raise unavailable(problem) from problem

    async def row(self, sql: str, values: Iterable[Any] = ()) -> Row | None:
        """The first row of a query, or None."""
        found = await self.rows(sql, values)
        return found[0] if found else None


class Core:
    """The writer, readers and clocks of one process. clock: unix seconds; monotonic: seconds that never go back."""

    def __init__(
        self,
        path: Path,
        writer: Writer,
        reader: Reader,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.path = path
        self.writer = writer
        self.reader = reader
        self.clock = clock
        self.monotonic = monotonic
        self.process = 0
        """The number of this process in the table of processes."""

    def now(self) -> int:
        """Unix seconds, whole."""
        return int(self.clock())

    async def write(self, work: Callable[[sqlite3.Connection, Names], T], *, beside: bool = False) -> T:
        """Run `work` on the writer's thread inside its transaction; durable when this returns.
        `work` may raise a Fault: then it has changed nothing, and the Fault is raised here.
        beside: it changes no account, key, month, hold or lease (see `SqlOperation`)."""
        result: T = await self.writer.submit(SqlOperation(work, beside=beside))
        return result

    async def drop(self, sql: str, limit: int, at_once: int) -> int:
        """Delete in pieces what lies before `limit`, so that running calls are not kept waiting: `sql` deletes at most
        as many rows as its second parameter says. Returns how many went."""

        def work(connection: sqlite3.Connection, _: Names) -> int:
            return connection.execute(sql, (limit, at_once)).rowcount

        gone = 0
        while done := await self.write(work):
            gone += done
        return gone

    async def apart(self, work: Callable[[], T]) -> T:
        """Run something long (a check, a backup) on a thread of its own with its own connection."""
        return await asyncio.to_thread(work)
