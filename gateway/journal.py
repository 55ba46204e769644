"""Ends of calls that cannot be written because the database is away, kept on this machine's disk meanwhile.

For stores: a process that is killed while its database is locked, full or unreachable leaves the exact bills to the
next one. A journal is one file of one writer: an operation a line, JSON, synced. On the way of a call whose end is
written at once there is neither a write nor a sync.

A file is locked (`flock`) for as long as its writer lives, and the kernel drops the lock however that ends. It gets its
name only once it is locked, so a file of such a name without a lock is an inheritance. Whoever takes it over applies
operations that may have been applied already: they must be idempotent.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

_MAKING = ".new"
_LITTLE = 65_536
"""Bytes that the file may grow before lines that no longer count are thrown out of it."""


class Journal:
    """One file. Its methods block, and may be called by several threads.

    reserve: bytes of the disk that are the file's own from the beginning, so that lines can be written on a full disk;
    such a file is made by `open`, and is there until `close`. 0: there is a file only while something is pending.
    """

    def __init__(self, path: Path, *, reserve: int = 0) -> None:
        self._path = path
        self._reserve = reserve
        self._kept: dict[tuple[str, str], bytes] = {}
        self._used = 0
        self._file = -1
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def open(self) -> None:
        """Make the file and take its room. Raises OSError, having made nothing, when there is none."""
        with self._guard:
            if self._file < 0:
                self._open()

    def keep(self, operations: Iterable[Mapping[str, Any]]) -> None:
        """Have these on disk, beside those that are there already. Each has what is done as `do`, and the id of its
        request as `r`, which are its name. Raises OSError when the disk does not take them."""
        with self._guard:
            fresh = {}
            for one in operations:
                name = (one["do"], one["r"])
                if name not in self._kept:
                    fresh[name] = orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE)
            if fresh:
                self._write(fresh)

    def forget(self, names: Iterable[tuple[str, str]] | None = None) -> None:
        """These (`do`, `r`), or all, are written in the database. Costs nothing when nothing is pending."""
        if not self._kept:
            return
        with self._guard:
            if names is None:
                self._kept.clear()
            for name in names or ():
                self._kept.pop(name, None)
            if not self._kept:
                self._clear()

    def close(self) -> None:
        """Let go of the file, which stays for the next one when something is pending. Idempotent."""
        with self._guard:
            if self._file < 0:
                return
            if not self._kept:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        making = self._path.with_name(self._path.name + _MAKING)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(making, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if self._reserve:
                take_room(file, self._reserve)
            making.rename(self._path)
        except OSError:
            making.unlink(missing_ok=True)
            os.close(file)
            raise
        self._file, self._used = file, 0

    def _write(self, fresh: Mapping[tuple[str, str], bytes]) -> None:
        if self._file < 0:
            self._open()
        lines, at = b"".join(fresh.values()), self._used
        if at + len(lines) > (self._reserve or _LITTLE):
            # Lines that no longer count make room. One write: whoever is killed has done it, or has not.
            lines, at = b"".join((*self._kept.values(), *fresh.values())), 0
        if os.pwrite(self._file, lines, at) < len(lines):
            raise OSError(f"{self._path}: the disk took only a part")
        end = at + len(lines)
        if end < self._used:
            os.pwrite(self._file, b"\0" * (self._used - end), end)
        os.fsync(self._file)
        self._kept.update(fresh)
        self._used = end

    def _clear(self) -> None:
        if self._reserve:
            # Not synced: what is found here once more does no harm.
            os.pwrite(self._file, b"\0" * self._used, 0)
            self._used = 0
        else:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def take_room(file: int, size: int) -> None:
    """Give a new file (its descriptor) its bytes on the disk. Raises OSError when there is no room."""
    try:
        os.posix_fallocate(file, 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        # This system or this file system knows no such call.
        if os.pwrite(file, b"\0" * size, 0) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None


def inherited(folder: Path, prefix: str) -> tuple[list[Path], list[dict[str, Any]]]:
    """The journals in `folder`, by the beginning of their names, whose writers are gone, and what is in them; blocking.
    The files are the caller's to delete once all of it is written. A line that was cut short is left out: its caller
    was never told that it is kept."""
    paths, operations = [], []
    for path in sorted(folder.glob(prefix + "*")):
        if path.suffix == _MAKING:
            continue
        content = _read_alone(path)
        if content is None:
            continue
        paths.append(path)
        for line in content.replace(b"\0", b"").splitlines():
            with contextlib.suppress(orjson.JSONDecodeError):
                operations.append(orjson.loads(line))
    return paths, operations


def _read_alone(path: Path) -> bytes | None:
    """What is in it; None when it is gone, or its writer lives."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.read_bytes()
    except (BlockingIOError, FileNotFoundError):
        return None
    finally:
        os.close(file)
