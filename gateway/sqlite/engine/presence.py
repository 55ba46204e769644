"""Who is alive: each process holds a lock on a file of its own for as long as it lives.

The kernel drops the lock when the process ends, however it ends, and it cannot be confused by a process number that
is used again. So on one machine leases need no clock: they are exact, and never end under a process that lives. The
file gets its final name only once it is locked, so no file of that name is ever unlocked while its owner lives. Locks
belong to the open file, so two gateways in one process count as two. A process that forks after this keeps the lock
alive through its child: open the stores in the worker itself.

Beside the file stands a row in the table of processes, whose number is the lease's id. Holds name it, and a hold is
refused when the row is gone, so even a process whose row was buried by mistake cannot begin anything under it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import sqlite3
from pathlib import Path

from gateway.api import GatewayFault
from gateway.api.stores import Lease
from gateway.sqlite.engine.core import Core
from gateway.sqlite.engine.operation import unavailable
from gateway.sqlite.money.unit_of_work import Names

_REGISTER = "INSERT INTO processes (token, started) VALUES (?, ?) RETURNING n"
_IS_REGISTERED = "SELECT 1 FROM processes WHERE n = ?"
# A process that leaves things open stays in the table: dead, since it holds no lock, until somebody has resolved them.
_SIGN_OFF = """
    DELETE FROM processes WHERE n = ?1 AND NOT EXISTS (SELECT 1 FROM holds WHERE state = 0 AND process = ?1)
        AND NOT EXISTS (SELECT 1 FROM responses WHERE process = ?1)
"""
# What a process without a row may have left open is nobody's, as numbers are not used again.
_OTHERS = """
    SELECT n, token FROM processes WHERE n != ?1
    UNION ALL
    SELECT DISTINCT process, '' FROM holds
    WHERE state = 0 AND process != ?1 AND process NOT IN (SELECT n FROM processes)
    UNION
    SELECT DISTINCT process, '' FROM responses
    WHERE process IS NOT NULL AND process != ?1 AND process NOT IN (SELECT n FROM processes)
"""
_TOKEN = "SELECT token FROM processes WHERE n = ?"
_BURY = "DELETE FROM processes WHERE n = ?"


class ProcessLock:
    """This process's sign of life."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.token = secrets.token_hex(8)
        self._path = folder / self.token
        making = folder / (self.token + ".new")
        self._file = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        making.rename(self._path)

    def release(self) -> None:
        """This process uses the database no more. Idempotent."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def folder_of(database: Path) -> Path:
    """Where the locks of a database stand: beside it."""
    return database.with_name(database.name + "-processes")


def is_dead(folder: Path, token: str) -> bool:
    """Whether the process with this token has ended. Its file, if it is still there, stays: see `remove`."""
    try:
        file = os.open(folder / token, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def living_in(folder: Path) -> int:
    """How many processes have the database of these locks open."""
    if not folder.is_dir():
        return 0
    return sum(not is_dead(folder, found.name) for found in folder.iterdir() if not found.name.endswith(".new"))


def in_use(folder: Path) -> bool:
    """Whether any process has the database of these locks open."""
    return living_in(folder) > 0


def remove(folder: Path, token: str) -> None:
    """Remove the file of a dead process."""
    (folder / token).unlink(missing_ok=True)


class SqlitePresence:
    """`gateway.stores.Presence`, with leases that last as long as their process."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._folder = folder_of(core.path)
        self._lock: ProcessLock | None = None

    @property
    def lease(self) -> Lease:
        """The row of this process in the table of processes."""
        return Lease(str(self._core.process))

    @property
    def joined(self) -> bool:
        """Whether this process has signed on: not while the database took nothing since it was opened."""
        return self._core.process > 0

    async def join(self) -> Lease:
        """Lock a new file, then enter it in the table: whoever reads the row finds the lock held. Raises GatewayFault
        (503), leaving all as it was, while nothing can be written."""
        try:
            lock = await asyncio.to_thread(ProcessLock, self._folder)
        except OSError as error:
            raise unavailable(sqlite3.OperationalError(str(error))) from error
        now = self._core.now()

        def register(connection: sqlite3.Connection, _: Names) -> int:
            return int(connection.execute(_REGISTER, (lock.token, now)).fetchall()[0][0])

        try:
            number = await self._core.write(register)
        except BaseException:  # cancellation too; it is raised again
            await asyncio.to_thread(lock.release)
            raise
        earlier, self._lock, self._core.process = self._lock, lock, number
        if earlier is not None:
            await asyncio.to_thread(earlier.release)
        return self.lease

    async def renew(self) -> bool:
        """Nothing runs out here; False when the row was buried all the same."""
        return await self._core.reader.row(_IS_REGISTERED, (self._core.process,)) is not None

    async def leave(self) -> None:
        """Sign off, then let go of the lock. With something left open the row stays, and is found dead; so does one
        that cannot be deleted now."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        number = self._core.process
        try:
            with contextlib.suppress(GatewayFault):
                await self._core.write(lambda connection, _: connection.execute(_SIGN_OFF, (number,)).rowcount)
        finally:
            await asyncio.to_thread(lock.release)

    async def dead(self) -> list[str]:
        """Those whose lock is free, and those that are named by something open but have no row."""
        others = await self._core.reader.rows(_OTHERS, (self._core.process,), slow=True)
        if not others:
            return []
        return await asyncio.to_thread(
            lambda: [str(number) for number, token in others if not token or is_dead(self._folder, token)]
        )

    async def bury(self, lease: str) -> None:
        """Delete the row, then the file."""
        row = await self._core.reader.row(_TOKEN, (int(lease),))

        def forget(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_BURY, (int(lease),))

        await self._core.write(forget)
        if row is not None:
            await asyncio.to_thread(remove, self._folder, row[0])
