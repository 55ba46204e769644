"""Room on the disk that is set aside for a full one: a gateway that starts anew must be able to open its database.

The log and its index (`-wal`, `-shm`) go when the last process closes the database, and SQLite cannot even read it
without making them again. On a full disk there would be no room for them, so a file beside the database keeps some,
and is given up for them. It is made again once the disk has room enough.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gateway.api.stores import take_room

SIZE = 2 << 20
"""Bytes that are set aside: the index, a journal and some hundred pages of the log."""
_PLENTY = 4
"""It is made only while so many times its size are free."""


class Reserve:
    """The file beside the database at `path`. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + "-reserve")

    def take(self) -> None:
        """Set the room aside, if it is not and there is plenty. What goes wrong is left for the next time."""
        if self._path.exists() or free_beside(self._path) < _PLENTY * SIZE:
            return
        with contextlib.suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                take_room(file, SIZE)
            except OSError:
                self._path.unlink(missing_ok=True)
                raise
            finally:
                os.close(file)

    def give_up(self, *, less_than: int | None = None) -> bool:
        """Give the room back when less is free beside it; None: in any case. Returns whether there was any."""
        if less_than is not None and free_beside(self._path) >= less_than:
            return False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def free_beside(path: Path) -> int:
    """Bytes that are free on the disk of a file, whether it is there or not."""
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize
