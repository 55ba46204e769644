"""What the database stands on: the file that was opened must still be the one of that name, and its disk have room.

A file that is deleted while it is open goes on taking writes, which nobody will ever read; a copy that is put in its
place is another database. And a disk that is full fails at the worst moment, when an answer is there and its bill
is not: so some of it is set aside, for the bills of a process (its journal) and for opening the database again (the
reserve).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from gateway.api import GatewayFault
from gateway.api.stores import DISK_FULL, Journal
from gateway.sqlite.engine.reserve import Reserve, free_beside

JOURNAL = 512 << 10
"""Bytes of the disk that a process sets aside for the ends of calls that cannot be written: some two thousand."""


class Ground:
    """The file at `path`, as it was when this was made. min_free: bytes that must be free beside it. journal: of this
    process. Its methods block."""

    def __init__(self, path: Path, min_free: int, journal: Journal) -> None:
        self._path = path
        self._min_free = min_free
        self._identity = _identity(path)
        self._journal = journal
        self._reserve = Reserve(path)
        self._prepare()

    def _prepare(self) -> None:
        """Set aside what is needed on a full disk, as far as there is room now."""
        self._reserve.take()
        with contextlib.suppress(OSError):
            self._journal.open()

    def check(self) -> None:
        """Raises GatewayFault (503) when the file is gone or another, or the disk is nearly full."""
        try:
            same = _identity(self._path) == self._identity
        except OSError:
            same = False
        if not same:
            raise GatewayFault(
                "The gateway's database was removed or replaced while it was in use; the gateway must be restarted.",
                status=503,
                code="database_replaced",
                retry_after=5.0,
                detail=str(self._path),
            )
        self._prepare()
        if not self._min_free:
            return
        free = free_beside(self._path)
        if free < self._min_free:
            raise GatewayFault(
                "The disk of the gateway's database is nearly full (database.min_free).",
                status=503,
                code=DISK_FULL,
                retry_after=5.0,
                detail=f"{free} bytes are free at {self._path.parent}",
            )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
