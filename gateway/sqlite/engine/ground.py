"""What the database stands on: the file that was opened must still be the one of that name, and its disk have room.

A file that is deleted while it is open goes on taking writes, which nobody will ever read; a copy that is put in its
place is another database. And a disk that is full fails at the worst moment, when an answer is there and its bill
is not.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.api import GatewayFault
from gateway.api.stores import DISK_FULL


class Ground:
    """The file at `path`, as it was when this was made. min_free: bytes that must be free beside it."""

    def __init__(self, path: Path, min_free: int) -> None:
        self._path = path
        self._min_free = min_free
        self._identity = _identity(path)

    def check(self) -> None:
        """Blocking. Raises GatewayFault (503) when the file is gone or another, or the disk is nearly full."""
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
        if not self._min_free:
            return
        disk = os.statvfs(self._path.parent)
        free = disk.f_bavail * disk.f_frsize
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
