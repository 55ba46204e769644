"""Ends of calls that cannot be written because the database is away, kept on this machine's disk meanwhile.

One file for each lane of a process, `postgres-pending-LEASE-LANE.jsonl` in the data folder: one operation a line,
replaced as a whole and synced. It is there only while something is pending. A gateway that starts takes over the files
of processes that are gone; the operations are idempotent, so it does no harm when some of them had been applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path
from typing import Any

import orjson

_PREFIX = "postgres-pending-"


class Journal:
    """The file of one lane. data: the folder; name: of lease and lane."""

    def __init__(self, data: str, name: str) -> None:
        self._path = Path(data) / f"{_PREFIX}{name}.jsonl"
        self._kept: dict[tuple[str, str], bytes] = {}
        self._lock: int | None = None

    async def keep(self, operations: list[dict[str, Any]]) -> None:
        """Have these on disk, beside those that are there already."""
        fresh = {(one["do"], one["r"]): orjson.dumps(one) for one in operations}
        if fresh.keys() <= self._kept.keys():
            return
        self._kept.update(fresh)
        await asyncio.to_thread(self._write, b"\n".join(self._kept.values()))

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if self._lock is None:
            # The lock says that its writer lives: it is the kernel's to drop.
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._lock = handle
        else:
            os.close(handle)
        os.lseek(self._lock, 0, os.SEEK_SET)
        os.write(self._lock, content)
        os.ftruncate(self._lock, len(content))
        os.fsync(self._lock)

    def forget(self) -> None:
        """All of it is written in the database. Costs nothing when there was nothing."""
        if not self._kept:
            return
        self._kept.clear()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of the file, which stays for the next one."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def inherited(data: str) -> tuple[list[Path], list[dict[str, Any]]]:
    """The journals of processes that are gone, and what is in them. A line that was cut short is left out: its caller
    was never told that it is kept."""
    paths, operations = [], []
    for path in sorted(Path(data).glob(_PREFIX + "*.jsonl")):
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = path.read_bytes()
        except BlockingIOError:
            continue
        finally:
            os.close(handle)
        paths.append(path)
        for line in content.splitlines():
            with contextlib.suppress(orjson.JSONDecodeError):
                operations.append(orjson.loads(line))
    return paths, operations
