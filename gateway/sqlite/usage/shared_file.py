"""The file of the shared rate windows: opened by many, begun anew by one, in memory as far as anybody needs it.

Whoever uses it holds a shared lock of the file system on it for as long as it is open. Who gets it for himself knows
that nobody else is there: then the lock in the file is made anew, and so is all of it after a boot, when the times in
it mean nothing any more. A page is given its room on the disk before it is touched: on a full disk the kernel would end
the process otherwise (SIGBUS).
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.api import GatewayFault
from gateway.api.stores import DISK_FULL
from gateway.sqlite.usage.shared_lock import Lock, lock_in, lock_kind

PAGE = 4096
_HEADER = struct.Struct("=16s64s16s")
_MAGIC = b"gateway-rates-2\0"
_LOCK_AT = 128
_TRIES = 5


def _boot_id() -> bytes:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()[:64]
    except OSError:
        return b"unknown"


class Room:
    """The file in memory. memory: of it as far as is known here; what was not touched before is `need`ed first.
    backed: for each of its pages 1 when it is known to have its room. To be used under the file's lock."""

    __slots__ = ("_file", "backed", "memory")

    def __init__(self, file: int) -> None:
        self._file = file
        self.backed = bytearray()
        self._map()

    def _map(self) -> None:
        # Whoever still holds the mapping before sees the same bytes.
        self.memory = mmap.mmap(self._file, 0)
        self.backed.extend(bytes(len(self.memory) // PAGE - len(self.backed)))

    def reaches(self, end: int) -> bool:
        """Whether the file goes so far: another process may have made it."""
        if end > len(self.memory) and end <= os.fstat(self._file).st_size:
            self._map()
        return end <= len(self.memory)

    def extend(self, end: int) -> None:
        """Let the file go so far."""
        if not self.reaches(end):
            os.ftruncate(self._file, end)
            self._map()

    def need(self, begin: int, size: int = 1) -> None:
        """See that these bytes, in one page or two, have their room on the disk. Raises GatewayFault (503)."""
        last = (begin + size - 1) // PAGE
        if not (self.backed[begin // PAGE] and self.backed[last]):
            self._back(begin // PAGE, last)

    def _back(self, first: int, last: int) -> None:
        try:
            os.posix_fallocate(self._file, first * PAGE, (last + 1 - first) * PAGE)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                message = "The disk of the gateway's database is full."
                raise GatewayFault(message, status=503, code=DISK_FULL, retry_after=5.0) from None
            # This system or this file system knows no such call: all there is is to hope.
        self.backed[first] = self.backed[last] = 1


def open_shared(path: Path, ends: Sequence[int]) -> tuple[int, Lock]:
    """Open (or make) the file; returns its descriptor and its lock. ends: the lengths that it may have, the first is
    that of a new one. Raises GatewayFault when others use it in a way of their own: of another version, or with another
    C library."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(_TRIES):
            lock = _joined(file, path, ends)
            if lock is not None:
                return file, lock
            time.sleep(0.01)  # whoever began it anew was stopped in the middle of it
    except BaseException:  # raised again once things are put right
        os.close(file)
        raise
    os.close(file)
    raise GatewayFault(f"{path} is in use by a gateway of another version or system; stop that first.")


def _joined(file: int, path: Path, ends: Sequence[int]) -> Lock | None:
    """This process uses the file from now on; None when it is not as it should be, and others use it."""
    header = _HEADER.pack(_MAGIC, _boot_id(), lock_kind())
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(file, fcntl.LOCK_SH)  # when it is begun, if somebody is just about it
        if _is_sound(file, header, ends):
            return lock_in(file, path, _LOCK_AT)
        fcntl.flock(file, fcntl.LOCK_UN)
        return None
    if not _is_sound(file, header, ends):
        os.ftruncate(file, 0)
        os.pwrite(file, header.ljust(PAGE, b"\0"), 0)
        os.ftruncate(file, ends[0])
    lock = lock_in(file, path, _LOCK_AT)
    lock.begin()
    # This lets go of it on the way: another may begin it once more, and all is well if he does it alike.
    fcntl.flock(file, fcntl.LOCK_SH)
    if _is_sound(file, header, ends):
        return lock
    lock.close()
    fcntl.flock(file, fcntl.LOCK_UN)
    return None


def _is_sound(file: int, header: bytes, ends: Sequence[int]) -> bool:
    return os.pread(file, _HEADER.size, 0) == header and os.fstat(file).st_size in ends
