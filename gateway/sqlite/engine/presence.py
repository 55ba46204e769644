"""Which processes are alive: each holds a lock on a file of its own for as long as it lives.

The kernel drops the lock when the process ends, however it ends, and it cannot be confused by a process number that
is used again. The file gets its final name only once it is locked, so no file of that name is ever unlocked while
its owner lives. Locks belong to the open file, so two gateways in one process count as two.
A process that forks after this keeps the lock alive through its child: open the stores in the worker itself.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path


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
    """Whether the process with this token has ended. Its file, if it is still there, stays: see `bury`."""
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


def bury(folder: Path, token: str) -> None:
    """Remove the file of a dead process."""
    (folder / token).unlink(missing_ok=True)
