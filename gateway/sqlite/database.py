"""Opening and closing: all that the SQLite stores own is opened in `open_stores` and closed in `SqliteStores.close`."""

from __future__ import annotations

import hmac
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gateway.errors import GatewayFault
from gateway.sqlite.engine.core import Core, Reader, Row, open_writing
from gateway.sqlite.engine.migrations import migrate
from gateway.sqlite.engine.presence import ProcessLock, folder_of
from gateway.sqlite.engine.writer import Writer
from gateway.sqlite.identity.accounts import SqliteAccounts
from gateway.sqlite.identity.credentials import derive
from gateway.sqlite.identity.keys import SqliteKeys
from gateway.sqlite.money.ledger import SqliteLedger
from gateway.sqlite.money.operations import run_operations
from gateway.sqlite.money.topups import SqliteTopUps
from gateway.sqlite.money.unit_of_work import Names
from gateway.sqlite.responses.idempotency import SqliteIdempotency
from gateway.sqlite.responses.stored_responses import SqliteResponses
from gateway.sqlite.usage.memory_counters import MemoryCounters
from gateway.sqlite.usage.shared_counters import SharedCounters
from gateway.sqlite.usage.usage_log import SqliteUsage
from gateway.stores import Counters, Discrepancy, Stores

T = TypeVar("T")
LEAST_SECRET = 16


@dataclass(slots=True)
class SqliteStores(Stores):
    """`gateway.stores.Stores` on one SQLite file, and what belongs to the file as a whole."""

    accounts: SqliteAccounts
    keys: SqliteKeys
    ledger: SqliteLedger
    usage: SqliteUsage
    counters: Counters
    topups: SqliteTopUps
    responses: SqliteResponses
    answers: SqliteIdempotency
    extra: dict[str, Any] = field(default_factory=dict)
    core: Core = field(kw_only=True)
    opened: AsyncExitStack = field(default_factory=AsyncExitStack, kw_only=True)

    async def __aenter__(self) -> SqliteStores:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writer's transaction, on its thread; durable when this returns. For further stores of
        the core in the same file. `work` may run twice when a batch is rolled back, and may raise a Fault."""
        return await self.core.write(lambda connection, _: work(connection))

    async def read(self, sql: str, values: Iterable[Any] = (), *, slow: bool = False) -> list[Row]:
        """All rows of one query, without ever keeping a transaction open. slow: for listings and sums."""
        return await self.core.reader.rows(sql, values, slow=slow)

    async def check(self) -> list[Discrepancy]:
        """See `Ledger.check`."""
        return await self.ledger.check()

    async def fail_over_holds(self) -> int:
        """See `Ledger.fail_over_holds`."""
        return await self.ledger.fail_over_holds()

    async def prune(self, now: float, *, days: int = 90) -> int:
        """Delete usage rows older than `days`; daily sums and the ledger stay. Returns how many. Answers to requests
        with an `Idempotency-Key` go when their time is over."""
        await self.answers.prune(int(now))
        return await self.usage.prune(int(now) - days * 86_400)

    async def backup(self, path: Path) -> None:
        """Copy the database, whole and consistent, while it is in use. The copy appears under its name only when
        it is complete; an existing file is replaced."""
        source = self.core.path
        await self.core.apart(lambda: backup_database(source, path))

    async def close(self) -> None:
        """Commit what waits and let go of everything, in the reverse order of opening. Idempotent."""
        await self.opened.aclose()


def backup_database(source: Path, target: Path) -> None:
    """Copy a database with SQLite's online backup; blocking."""
    making = target.with_name(target.name + ".part")
    making.unlink(missing_ok=True)
    os.close(os.open(making, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    reading = sqlite3.connect(source, isolation_level=None, timeout=5.0)
    writing = sqlite3.connect(making, isolation_level=None)
    try:
        reading.backup(writing)
        # One plain file, without a write-ahead log beside it that could be forgotten.
        writing.execute("PRAGMA journal_mode = DELETE")
    finally:
        writing.close()
        reading.close()
    with open(making, "rb") as copy:
        os.fsync(copy.fileno())
    making.replace(target)


def _check_secret(connection: sqlite3.Connection, secret: bytes, adopt: bool) -> None:
    """Refuse a secret that is not the database's own: with it, every key would silently be unknown."""
    mark = derive(secret, "database-mark")
    connection.execute("INSERT INTO facts (name, value) VALUES ('secret', ?) ON CONFLICT DO NOTHING", (mark,))
    stored = connection.execute("SELECT value FROM facts WHERE name = 'secret'").fetchone()[0]
    if hmac.compare_digest(stored, mark):
        return
    if not adopt:
        raise GatewayFault(
            "The server secret is not the one this database was made with, so none of its keys would work. "
            "Restore the secret that belongs to it."
        )
    connection.execute("UPDATE facts SET value = ? WHERE name = 'secret'", (mark,))


def _connect(path: Path, secret: bytes, adopt_secret: bool) -> sqlite3.Connection:
    """The writer's connection to a database that is up to date and ours; only its owner may read the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = open_writing(path)
    try:
        migrate(connection)
        _check_secret(connection, secret, adopt_secret)
        connection.execute("PRAGMA busy_timeout = 0")  # the writer waits by itself, in shorter naps
    except BaseException:  # cancellation too; raised again once things are put right
        connection.close()
        raise
    return connection


def _register(connection: sqlite3.Connection, token: str, now: int) -> int:
    rows = connection.execute(
        "INSERT INTO processes (token, started) VALUES (?, ?) RETURNING n", (token, now)
    ).fetchall()
    return int(rows[0][0])


def _sign_off(connection: sqlite3.Connection, process: int) -> None:
    connection.execute(
        "DELETE FROM processes WHERE n = ?1 AND NOT EXISTS (SELECT 1 FROM holds WHERE state = 0 AND process = ?1)",
        (process,),
    )


async def open_stores(
    path: Path,
    secret: bytes,
    *,
    key_prefix: str = "mghp_",
    keys_per_account: int = 10,
    shared_counters: bool = False,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    queue: int = 4096,
    patience: float = 5.0,
    adopt_secret: bool = False,
    log: logging.Logger | None = None,
) -> SqliteStores:
    """Open (or create) the database at `path`, bring it to the newest version, and resolve the holds of dead processes.

    secret: the server's secret, at least 16 bytes; peppers are derived from it. shared_counters: rate windows count
    over all processes of this machine that use this database, instead of in this one only. clock: unix seconds;
    monotonic: CLOCK_MONOTONIC seconds. queue: operations that may wait. patience: seconds to wait for another
    process's lock. adopt_secret: take a new secret although all keys and vouchers made under the old one die.
    log: where a rolled back batch is reported.
    Raises GatewayFault when the database is newer than this program, is not a gateway's, or belongs to another secret.
    """
    if len(secret) < LEAST_SECRET:
        raise GatewayFault(f"The server secret must have at least {LEAST_SECRET} bytes.")
    path = Path(path)
    names = Names()
    writer = Writer(
        lambda: _connect(path, secret, adopt_secret),
        lambda connection, operations: run_operations(connection, operations, names),
        lambda committed: names.committed() if committed else names.rolled_back(),
        limit=queue,
        patience=patience,
        log=log or logging.getLogger("gateway.sqlite"),
    )
    async with AsyncExitStack() as opened:
        await writer.start()
        opened.push_async_callback(writer.close)
        reader = Reader(path)
        opened.push_async_callback(reader.close)
        await reader.open()
        core = Core(path, writer, reader, clock, monotonic)
        lock = await core.apart(lambda: ProcessLock(folder_of(path)))
        opened.push_async_callback(core.apart, lock.release)
        core.process = await core.write(lambda connection, _: _register(connection, lock.token, core.now()))
        opened.push_async_callback(core.write, lambda connection, _: _sign_off(connection, core.process))
        keys = SqliteKeys(core, secret, key_prefix, keys_per_account)
        counters: Counters = MemoryCounters(monotonic)
        if shared_counters:
            rates = path.with_name(path.name + "-rates")
            counters = shared = await core.apart(lambda: SharedCounters(rates, monotonic))
            opened.callback(shared.close)
        stores = SqliteStores(
            accounts=SqliteAccounts(core, keys.forget),
            keys=keys,
            ledger=SqliteLedger(core, secret),
            usage=SqliteUsage(core),
            counters=counters,
            topups=SqliteTopUps(core),
            responses=SqliteResponses(core),
            answers=SqliteIdempotency(core),
            core=core,
        )
        await stores.fail_over_holds()
        stores.opened = opened.pop_all()
        return stores
