"""The lock of a small file that several processes have mapped: one of them at a time, for microseconds.

A mutex in the file's memory: to take it and to let it go is one call into the C library each, without a system call and
without letting go of the interpreter. With a lock of the file system the holder has to win the interpreter back from
the ledger's thread twice, and everybody waits for that. The mutex is robust: when its holder dies, the kernel marks
it, and the next one has it. Where the C library knows no such mutex a lock of the file system stands in.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

ROOM = 128
"""Bytes that the mutex may take: no C library's is longer."""
_OF_ONE = ("pthread_mutexattr_init", "pthread_mutex_trylock", "pthread_mutex_unlock", "pthread_mutex_consistent")
_SHARED = _ROBUST = 1


class Lock(Protocol):
    """Excludes other processes, and others of this one. Not to be held across an `await`."""

    def begin(self) -> None:
        """Make it anew, open. Only while nobody else uses the file."""

    def take(self) -> bool:
        """Take it, without waiting; False while somebody else has it."""

    def release(self) -> None:
        """Let go of it; by the thread that took it."""

    def close(self) -> None:
        """Use it no more."""


@lru_cache(1)
def _library() -> Any:
    """The C library, called without letting go of the interpreter; None without robust mutexes."""
    try:
        library = ctypes.PyDLL(None)
        for name in _OF_ONE:
            getattr(library, name).argtypes = (ctypes.c_void_p,)
        for name in ("pthread_mutexattr_setpshared", "pthread_mutexattr_setrobust"):
            getattr(library, name).argtypes = (ctypes.c_void_p, ctypes.c_int)
        library.pthread_mutex_init.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        _robust(library)
    except (AttributeError, OSError):
        return None
    return library


def _robust(library: Any) -> Any:
    """What a new mutex shall be like. Raises OSError where the system has nothing of the kind."""
    attributes = ctypes.create_string_buffer(ROOM)
    _done(library.pthread_mutexattr_init(attributes))
    _done(library.pthread_mutexattr_setpshared(attributes, _SHARED))
    _done(library.pthread_mutexattr_setrobust(attributes, _ROBUST))
    return attributes


def _done(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


def _name_of_library() -> str:
    # What a mutex looks like is the library's own affair, and stays as it is from version to version.
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").split()[0]
    except (AttributeError, ValueError, OSError, IndexError):
        return "libc"


def _closed(_: Any) -> int:
    raise ValueError("the lock is closed")


class MutexLock:
    """A robust mutex in the first page of the file, at `at`. library: see `_library`."""

    def __init__(self, file: int, at: int, library: Any) -> None:
        self._library = library
        self._page = mmap.mmap(file, at + ROOM)
        self._bytes: Any = (ctypes.c_char * ROOM).from_buffer(self._page, at)
        self._place = ctypes.c_void_p(ctypes.addressof(self._bytes))
        self._try: Callable[[Any], int] = library.pthread_mutex_trylock
        self._unlock: Callable[[Any], int] = library.pthread_mutex_unlock

    def begin(self) -> None:
        """Make it anew."""
        ctypes.memset(self._place, 0, ROOM)
        _done(self._library.pthread_mutex_init(self._place, _robust(self._library)))

    def take(self) -> bool:
        """One call, and a second one after a holder that died."""
        result = self._try(self._place)
        if not result:
            return True
        return result == errno.EOWNERDEAD and not self._library.pthread_mutex_consistent(self._place)

    def release(self) -> None:
        """One call."""
        self._unlock(self._place)

    def close(self) -> None:
        """Let go of the memory. Idempotent."""
        self._try = self._unlock = _closed  # not the library's: it would touch memory that is gone
        self._bytes = None
        self._page.close()


class FileLock:
    """A lock of the file system on a file of its own at `path`."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def begin(self) -> None:
        """It is open whenever nobody holds it."""

    def take(self) -> bool:
        """A system call."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """A system call."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def lock_kind() -> bytes:
    """What the locks of this system are called, in at most 16 bytes: only those of one kind exclude each other."""
    if _library() is None:
        return b"file"
    return f"{_name_of_library()[:8]} {ctypes.sizeof(ctypes.c_void_p)}".encode()


def lock_in(file: int, path: Path, at: int) -> Lock:
    """The best lock that this system has for the file `file` at `path`, of which the bytes from `at` on are free for
    it; they are on the disk already."""
    library = _library()
    return FileLock(path.with_name(path.name + "-lock")) if library is None else MutexLock(file, at, library)
