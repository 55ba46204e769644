"""Opening and closing: all that the SQLite stores own is opened in `open_stores` and closed in `SqliteStores.close`."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gateway.api import GatewayFault
from gateway.api.stores import (
    DATABASE_MARK,
    Counters,
    Discrepancy,
    Journal,
    SlidingWindows,
    Snapshot,
    Stored,
    Stores,
    derive,
    other_secret,
)
from gateway.sqlite.audit import SqliteAudit
from gateway.sqlite.engine.core import Core, Reader, Row, open_writing
from gateway.sqlite.engine.ground import JOURNAL, Ground
from gateway.sqlite.engine.migrations import STEPS, migrate
from gateway.sqlite.engine.presence import SqlitePresence
from gateway.sqlite.engine.reserve import SIZE, Reserve, free_beside
from gateway.sqlite.engine.writer import Writer
from gateway.sqlite.identity.accounts import SqliteAccounts
from gateway.sqlite.identity.keys import SqliteKeys
from gateway.sqlite.identity.logins import SqliteLogins
from gateway.sqlite.identity.sessions import SqliteSessions
from gateway.sqlite.money.check import check_database
from gateway.sqlite.money.inheritance import journals_of, settle_inheritance
from gateway.sqlite.money.ledger import SqliteLedger
from gateway.sqlite.money.operations import run_operations
from gateway.sqlite.money.rows import Rows
from gateway.sqlite.money.topups import SqliteTopUps
from gateway.sqlite.money.unit_of_work import Names
from gateway.sqlite.objects import SqliteObjects
from gateway.sqlite.responses.conversations import SqliteConversations
from gateway.sqlite.responses.idempotency import SqliteIdempotency
from gateway.sqlite.responses.stored_responses import SqliteResponses
from gateway.sqlite.transfer import SqliteSnapshot, fill, open_snapshot
from gateway.sqlite.usage.usage_log import SqliteUsage

T = TypeVar("T")
LEAST_SECRET = 16
_STORED = "SELECT s.bytes, s.objects FROM stored AS s JOIN accounts AS a ON a.n = s.account WHERE a.id = ?"
_PING = "SELECT 1 FROM facts WHERE name = 'generation'"

_HOLDS = "SELECT count(*), coalesce(sum(amount), 0) FROM holds WHERE state = 0"


@dataclass(slots=True)
class SqliteStores(Stores):
    """`gateway.stores.Stores` on one SQLite file. core: the file's engine; ground: the file itself; shared: other
    processes use it, too; opened: what `close` lets go of; copies: of the database as it was in older versions."""

    core: Core = field(kw_only=True)
    copies: tuple[Path, ...] = field(default=(), kw_only=True)
    ground: Ground = field(kw_only=True)
    shared: bool = field(default=False, kw_only=True)
    opened: AsyncExitStack = field(default_factory=AsyncExitStack, kw_only=True)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writer's transaction, on its thread; durable when this returns. For further stores of
        the core in the same file. `work` may run twice when a batch is rolled back, and may raise a Fault."""
        return await self.core.write(lambda connection, _: work(connection))

    async def read(self, sql: str, values: Iterable[Any] = (), *, slow: bool = False) -> list[Row]:
        """All rows of one query, without ever keeping a transaction open. slow: for listings and sums."""
        return await self.core.reader.rows(sql, values, slow=slow)

    async def ping(self) -> None:
        """Look at the file and its disk, and read one row the way every lookup does. What a full disk has kept from
        being done when this was opened is done as soon as it can be."""
        await self.core.apart(self.ground.check)
        assert isinstance(self.presence, SqlitePresence)
        if not self.presence.joined:
            await self.presence.join()
        await self.core.reader.row(_PING)

    def describe(self) -> Mapping[str, str]:
        """Kind, file and version."""
        older = {"older_copies": ", ".join(map(str, self.copies))} if self.copies else {}
        return {"kind": "sqlite", "place": str(self.core.path), "version": str(len(STEPS)), **older}

    def backlog(self) -> int:
        """What waits for the writer."""
        return self.core.writer.backlog

    async def open_holds(self) -> tuple[int, int]:
        """Counted over the open ones, which are few."""
        [(count, credits)] = await self.read(_HOLDS)
        return count, credits

    async def check(self, *, full: bool = True) -> list[Discrepancy]:
        """In one snapshot, on a thread of its own; see `gateway.sqlite.money.check`."""
        return await self.core.apart(lambda: check_database(self.core.path, full=full, keep=True))

    async def prune(self, now: int, *, usage_before: int) -> Mapping[str, int]:
        """One kind after the other, each in pieces."""
        gone = {
            "answers": await self.idempotency.prune(now),
            "sessions": await self.sessions.prune(now),
            "links": await self.logins.prune_links(now),
            "conversations": await self.conversations.prune_conversations(now),
            "responses": await self.responses.prune(now),
            "usage rows": await self.usage.prune(usage_before),
        }
        return {kind: count for kind, count in gone.items() if count}

    def warnings(self) -> Sequence[str]:
        """Whether the library has a known fault that several processes can meet."""
        if not self.shared or resets_safely(sqlite3.sqlite_version_info):
            return ()
        return (
            f"SQLite {sqlite3.sqlite_version} can damage the database, very rarely, when several workers write and "
            "fold in the log at the same moment (https://www.sqlite.org/wal.html#walresetbug); use 3.51.3 or newer "
            "(also 3.50.7 and 3.44.6), or one worker",
        )

    async def stored(self, account_id: str) -> Stored:
        """One row, which triggers keep."""
        row = await self.core.reader.row(_STORED, (account_id,))
        return Stored(0, 0) if row is None else Stored(*row)

    async def backup(self, target: str) -> int:
        """Copy the file with SQLite's online backup; see `backup_database`."""
        source, copy = self.core.path, Path(target)
        return await self.core.apart(lambda: backup_database(source, copy))

    def snapshot(self) -> AbstractAsyncContextManager[SqliteSnapshot]:
        """A connection of its own; what waits for the writer is not in it."""
        return open_snapshot(self.core.path)

    async def take_over(self, snapshot: Snapshot, told: Callable[[str, int], None]) -> None:
        """In one transaction, on a connection of its own."""
        await fill(self.core.path, snapshot, told)

    async def close(self) -> None:
        """Commit what waits and let go of everything, in the reverse order of opening. Idempotent."""
        await self.opened.aclose()


def backup_database(source: Path, target: Path) -> int:
    """Copy a database with SQLite's online backup; blocking. Returns the size of the copy in bytes."""
    if not target.parent.is_dir():
        raise GatewayFault(f"{target.parent} is not a folder: make it first, or name a file in another one.")
    making = target.with_name(target.name + ".part")
    try:
        return _copy(source, target, making)
    except (OSError, sqlite3.Error) as error:
        raise GatewayFault(f"{target} could not be written: {error}") from error
    finally:
        making.unlink(missing_ok=True)


def _copy(source: Path, target: Path, making: Path) -> int:
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
    return target.stat().st_size


def resets_safely(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite has the fix of the fault by which a log that is reset during a checkpoint damages the file
    (https://www.sqlite.org/wal.html#walresetbug: in 3.51.3, and carried back to 3.50.7 and 3.44.6)."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def _check_secret(connection: sqlite3.Connection, secret: bytes, adopt: bool) -> None:
    """Refuse a secret that is not the database's own: with it, every key would silently be unknown."""
    mark = derive(secret, DATABASE_MARK)
    ours = "SELECT value FROM facts WHERE name = 'secret'"
    if connection.execute(ours).fetchone() is None:
        connection.execute("INSERT INTO facts (name, value) VALUES ('secret', ?) ON CONFLICT DO NOTHING", (mark,))
    stored = connection.execute(ours).fetchone()[0]
    if hmac.compare_digest(stored, mark):
        return
    if not adopt:
        raise other_secret("this database was")
    connection.execute("UPDATE facts SET value = ? WHERE name = 'secret'", (mark,))


def copy_of_version(path: Path, version: int) -> Path:
    """Where a database as it was in an older version is kept when it is upgraded."""
    return path.with_name(f"{path.name}.version-{version}")


def _copies_beside(path: Path) -> tuple[Path, ...]:
    copies = (copy_of_version(path, version) for version in range(1, len(STEPS)))
    return tuple(copy for copy in copies if copy.exists())


def _keep_as_it_was(path: Path, version: int) -> None:
    """Copy a database that is about to be upgraded, once for each version: a gateway of before cannot read it after."""
    if not copy_of_version(path, version).exists():
        backup_database(path, copy_of_version(path, version))


def _connect(path: Path, secret: bytes, adopt_secret: bool) -> sqlite3.Connection:
    """The writer's connection to a database that is up to date and ours; only its owner may read the file."""
    reserve = Reserve(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        reserve.give_up(less_than=SIZE)
        try:
            connection = _open(path)
        except sqlite3.OperationalError:
            # Whatever it was, a quota above all: once more when there is room to give.
            if not reserve.give_up():
                raise
            connection = _open(path)
    except OSError as error:
        raise GatewayFault(f"The database {path} cannot be opened for writing: {error.strerror or error}.") from error
    except sqlite3.Error as error:
        full = " (its disk is full: make room)" if free_beside(path) < SIZE else ""
        raise GatewayFault(f"The database {path} cannot be opened for writing: {error}{full}.") from error
    try:
        migrate(connection, lambda version: _keep_as_it_was(path, version))
        _check_secret(connection, secret, adopt_secret)
        connection.execute("PRAGMA busy_timeout = 0")  # the writer waits by itself, in shorter naps
    except BaseException:  # cancellation too; raised again once things are put right
        connection.close()
        raise
    return connection


def _open(path: Path) -> sqlite3.Connection:
    """A connection for the writer that has read something, which is what makes the log and its index."""
    connection = open_writing(path)
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except BaseException:  # raised again once things are put right
        connection.close()
        raise
    return connection


def _make_writer(
    connect: Callable[[], sqlite3.Connection], queue: int, patience: float, journal: Journal, log: logging.Logger
) -> Writer:
    """The writer, with what its thread remembers from batch to batch; see `open_stores`."""
    names, rows = Names(), Rows()

    def settled(committed: bool) -> None:
        if committed:
            names.committed()
        else:
            names.rolled_back()
            rows.forget()

    return Writer(
        connect,
        lambda connection, operations: run_operations(connection, operations, names, rows),
        settled,
        limit=queue,
        patience=patience,
        journal=journal,
        log=log,
    )


async def _begin(core: Core, presence: SqlitePresence, log: logging.Logger) -> None:
    """Join, and write what dead processes left. While nothing can be written both wait, and what can be read is read
    all the same: `SqliteStores.ping` joins, and `SqliteLedger.fail_over` writes."""
    try:
        await presence.join()
        await settle_inheritance(core.path, core.writer, core.now(), log)
    except GatewayFault as fault:
        if fault.status != 503:
            raise
        log.error(
            "the database takes nothing: this process joins, and writes what dead ones left, as soon as it does",
            extra={"detail": fault.detail},
        )


def _counters(path: Path, monotonic: Callable[[], float], shared: bool, opened: AsyncExitStack) -> Counters:
    if not shared:
        return SlidingWindows(monotonic)
    from gateway.sqlite.usage.shared_counters import SharedCounters  # with ctypes, which one process alone needs not

    path.with_name(path.name + "-rates").unlink(missing_ok=True)  # of versions before, which locked it otherwise
    counters = SharedCounters(path.with_name(path.name + "-windows"), monotonic)
    opened.callback(counters.close)
    return counters


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
    min_free: int = 0,
    log: logging.Logger | None = None,
) -> SqliteStores:
    """Open (or create) the database at `path`, bring it to the newest version, and join (see `SqlitePresence`).

    secret: the server's secret, at least 16 bytes; peppers are derived from it. shared_counters: rate windows count
    over all processes of this machine that use this database, instead of in this one only. clock: unix seconds;
    monotonic: CLOCK_MONOTONIC seconds. queue: operations that may wait. patience: seconds to wait for another
    process's lock. adopt_secret: take a new secret although all keys and vouchers made under the old one die.
    min_free: bytes that must be free on the disk, or `ping` raises. log: where a rolled back batch is reported.
    Raises GatewayFault when the database is newer than this program, is not a gateway's, or belongs to another secret.
    """
    if len(secret) < LEAST_SECRET:
        raise GatewayFault(f"The server secret must have at least {LEAST_SECRET} bytes.")
    path = Path(path)
    log = log or logging.getLogger("gateway.sqlite")
    folder, name = journals_of(path)
    journal = Journal(folder / (name + secrets.token_hex(8)), reserve=JOURNAL)
    writer = _make_writer(lambda: _connect(path, secret, adopt_secret), queue, patience, journal, log)
    async with AsyncExitStack() as opened:
        await writer.start()
        opened.push_async_callback(asyncio.to_thread, journal.close)
        opened.push_async_callback(writer.close)
        reader = Reader(path)
        opened.push_async_callback(reader.close)
        await reader.open()
        core = Core(path, writer, reader, clock, monotonic)
        presence = SqlitePresence(core)
        opened.push_async_callback(presence.leave)
        await _begin(core, presence, log)
        keys = SqliteKeys(core, secret, key_prefix, keys_per_account)
        counters = await core.apart(lambda: _counters(path, monotonic, shared_counters, opened))
        stores = SqliteStores(
            accounts=SqliteAccounts(core, keys.forget),
            keys=keys,
            sessions=SqliteSessions(core, secret),
            logins=SqliteLogins(core, secret),
            ledger=SqliteLedger(core, secret),
            usage=SqliteUsage(core),
            counters=counters,
            topups=SqliteTopUps(core),
            responses=SqliteResponses(core),
            conversations=SqliteConversations(core),
            idempotency=SqliteIdempotency(core),
            audit=SqliteAudit(core),
            objects=SqliteObjects(core),
            presence=presence,
            core=core,
            copies=await core.apart(lambda: _copies_beside(path)),
            shared=shared_counters,
            ground=await core.apart(lambda: Ground(path, min_free, journal)),
        )
        stores.opened = opened.pop_all()
        return stores
