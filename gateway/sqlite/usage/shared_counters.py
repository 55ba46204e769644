"""Sliding windows that several processes of one machine share, exact: a memory-mapped file beside the database.

Why not a table: a hit must cost a few microseconds and needs no durability, since a window is forgotten after a
minute. The file holds rings of times (CLOCK_MONOTONIC, which all processes of a machine read alike) and is guarded by
a file lock held for microseconds, never across an `await`; the kernel drops it when its holder dies.

Layout: a page of header (magic, boot id), then for each class of capacity: tags (8 bytes per slot, a hash of name and
window), heads (24 bytes: first, count, last, window), rings (8 bytes per time). A name may sit in any slot of one
group of 32. Slots are reused once idle; the file is sparse, so untouched slots take no room, and it goes no further
than the class of the largest window that was ever asked for. A page is given its room on the disk before it is touched:
on a full disk the kernel would end the process otherwise (SIGBUS). After a boot the times mean nothing any more, and
the file begins anew.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from gateway.api import GatewayFault
from gateway.api.stores import DISK_FULL, Window, window_state

CLASSES: tuple[tuple[int, int], ...] = (
    (64, 65_536),
    (256, 8_192),
    (1_024, 2_048),
    (4_096, 512),
    (16_384, 128),
    (65_536, 64),
    (1_048_576, 32),
)
"""Capacity of a ring (the largest limit it can serve) and how many such rings there are."""

_GROUP = 32
_HEADER = struct.Struct("=16s64s")
_HEAD = struct.Struct("=IIdd")
_TIME = struct.Struct("=d")
_MAGIC = b"gateway-rates-1\0"
_PAGE = 4096
_NOTHING = b"\0" * 8
PATIENCE = 2.0
"""Seconds to wait for the lock before a hit fails (closed)."""


def _boot_id() -> bytes:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()[:64]
    except OSError:
        return b"unknown"


class _Class:
    """Where the parts of one class of rings begin in the file."""

    __slots__ = ("capacity", "end", "groups", "heads", "rings", "tags")

    def __init__(self, capacity: int, slots: int, begin: int) -> None:
        self.capacity = capacity
        self.groups = slots // _GROUP
        self.tags = begin
        self.heads = self.tags + 8 * slots
        self.rings = self.heads + _HEAD.size * slots
        self.end = -(-(self.rings + 8 * capacity * slots) // _PAGE) * _PAGE


class _Room:
    """The file in memory. memory: of it as far as is known here; what was not touched before is `need`ed first. To be
    used under the file's lock."""

    __slots__ = ("_backed", "_file", "memory")

    def __init__(self, file: int) -> None:
        self._file = file
        self._backed = bytearray()
        self._map()

    def _map(self) -> None:
        # Whoever still holds the mapping before sees the same bytes.
        self.memory = mmap.mmap(self._file, 0)
        self._backed.extend(bytes(len(self.memory) // _PAGE - len(self._backed)))

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
        last = (begin + size - 1) // _PAGE
        if not (self._backed[begin // _PAGE] and self._backed[last]):
            self._back(begin // _PAGE, last)

    def _back(self, first: int, last: int) -> None:
        try:
            os.posix_fallocate(self._file, first * _PAGE, (last + 1 - first) * _PAGE)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                message = "The disk of the gateway's database is full."
                raise GatewayFault(message, status=503, code=DISK_FULL, retry_after=5.0) from None
            # This system or this file system knows no such call: all there is is to hope.
        self._backed[first] = self._backed[last] = 1


class _Ring:
    """One window's times, read from its slot; `first` and `count` are of the times that still count."""

    __slots__ = ("begin", "capacity", "count", "first", "head", "memory", "room")

    def __init__(self, room: _Room, place: _Class, slot: int) -> None:
        self.room = room
        self.memory = room.memory
        self.capacity = place.capacity
        self.head = place.heads + _HEAD.size * slot
        self.begin = place.rings + 8 * place.capacity * slot
        room.need(self.head, _HEAD.size)
        first, count, _, _ = _HEAD.unpack_from(self.memory, self.head)
        if first >= self.capacity or count > self.capacity:
            first = count = 0  # torn by a process that died in the middle of a write
        self.first: int = first
        self.count: int = count

    def time(self, i: int) -> float:
        """The i-th time, oldest first."""
        value: float = _TIME.unpack_from(self.memory, self.begin + 8 * ((self.first + i) % self.capacity))[0]
        return value

    def drop(self, since: float, now: float) -> None:
        """Forget what is a window old, and anything from the future (of another boot)."""
        if self.count and self.time(self.count - 1) > now + 1.0:
            self.count = 0
        if self.count and self.time(0) <= since:
            # Times only grow, so of many that are over at once few are looked at.
            gone = bisect_right(range(self.count), since, key=self.time)
            self.first = (self.first + gone) % self.capacity
            self.count -= gone

    def add(self, now: float) -> None:
        at = self.begin + 8 * ((self.first + self.count) % self.capacity)
        self.room.need(at)
        _TIME.pack_into(self.memory, at, now)
        self.count += 1

    def save(self, now: float, window: float) -> None:
        _HEAD.pack_into(self.memory, self.head, self.first, self.count, now, window)


class SharedCounters:
    """`gateway.stores.Counters` over all processes that open the same file. See the module."""

    def __init__(
        self, path: Path, monotonic: Callable[[], float], classes: Sequence[tuple[int, int]] = CLASSES
    ) -> None:
        self._monotonic = monotonic
        self._classes: list[_Class] = []
        for capacity, slots in classes:
            self._classes.append(_Class(capacity, slots, self._classes[-1].end if self._classes else _PAGE))
        self._tags: dict[tuple[str, float], bytes] = {}
        self._found: dict[bytes, tuple[_Class, int]] = {}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            header = _HEADER.pack(_MAGIC, _boot_id())
            ends = [place.end for place in self._classes]
            if os.pread(self._file, _HEADER.size, 0) != header or os.fstat(self._file).st_size not in ends:
                os.ftruncate(self._file, 0)
                os.ftruncate(self._file, ends[0])
                os.pwrite(self._file, header, 0)
            self._room = _Room(self._file)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    async def hit(
        self, names_and_limits: Sequence[tuple[str, int]], window: float, *, seen: Sequence[tuple[str, int]] = ()
    ) -> Sequence[Window]:
        """Raises GatewayFault (503) when the lock or room for a new window is not to be had.
        A limit above the largest class counts as that."""
        await self._lock()
        try:
            return [*self._hit(names_and_limits, window), *self._seen(seen, window)]
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """What `hit` would find."""
        await self._lock()
        try:
            return self._seen(names_and_limits, window)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._file >= 0:
            self._room.memory.close()
            os.close(self._file)
            self._file = -1

    async def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass  # another process is in it: look again shortly, without stopping the loop
        deadline = asyncio.get_running_loop().time() + PATIENCE
        nap = 0.0
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(nap)
            nap = min(nap + 0.0001, 0.002)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                continue
        raise GatewayFault("The rate limiter is not available. Try again.", status=503, retry_after=1.0)

    def _seen(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> list[Window]:
        now = self._monotonic()
        rings = [self._kept(name, window, now) for name, _ in names_and_limits]
        allowed = all(
            ring.count < min(limit, ring.capacity) if ring is not None else limit > 0
            for (_, limit), ring in zip(names_and_limits, rings, strict=True)
        )
        return [
            window_state(allowed, limit, (), now, window) if ring is None else _state(allowed, limit, ring, now, window)
            for (_, limit), ring in zip(names_and_limits, rings, strict=True)
        ]

    def _hit(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> list[Window]:
        now = self._monotonic()
        since = now - window
        rings: list[_Ring] = []
        full = False
        for name, limit in names_and_limits:
            ring = self._ring(name, limit, window, now)
            ring.drop(since, now)
            rings.append(ring)
            if ring.count >= min(limit, ring.capacity):
                full = True
        found: list[Window] = []
        for (_, limit), ring in zip(names_and_limits, rings, strict=True):
            if not full:
                ring.add(now)
            if ring.count:
                ring.save(ring.time(ring.count - 1), window)
            found.append(_state(not full, limit, ring, now, window))
        return found

    def _ring(self, name: str, limit: int, window: float, now: float) -> _Ring:
        tag = self._tag(name, window)
        wanted = next((place for place in self._classes if limit <= place.capacity), self._classes[-1])
        found = self._find(tag)
        if found is not None and found[0] is wanted:
            return _Ring(self._room, *found)
        ring = self._take(wanted, tag, now, window)
        if found is not None:
            # The limit was changed beyond its class: the newest times move along.
            place, old = found
            former = _Ring(self._room, place, old)
            former.drop(now - window, now)
            for i in range(max(former.count - ring.capacity, 0), former.count):
                ring.add(former.time(i))
            self._room.memory[place.tags + 8 * old : place.tags + 8 * old + 8] = _NOTHING
        return ring

    def _kept(self, name: str, window: float, now: float) -> _Ring | None:
        """A window's times, without changing anything; None when it has none."""
        found = self._find(self._tag(name, window))
        if found is None:
            return None
        ring = _Ring(self._room, *found)
        ring.drop(now - window, now)
        return ring

    def _tag(self, name: str, window: float) -> bytes:
        tag = self._tags.get((name, window))
        if tag is None:
            if len(self._tags) >= 10_000:
                self._tags.clear()
                self._found.clear()
            tag = blake2b(name.encode() + b"\0" + _TIME.pack(window), digest_size=8).digest()
            self._tags[(name, window)] = tag
        return tag

    def _find(self, tag: bytes) -> tuple[_Class, int] | None:
        """The class and the slot of a window: where it was the last time, or wherever it is now."""
        found = self._found.get(tag)
        if found is not None:
            at = found[0].tags + 8 * found[1]
            if self._room.memory[at : at + 8] == tag:
                return found
        for place in self._classes:
            slot = self._find_in(place, tag)
            if slot is not None:
                self._found[tag] = place, slot
                return place, slot
        return None

    def _find_in(self, place: _Class, tag: bytes) -> int | None:
        if not self._room.reaches(place.end):
            return None
        group = int.from_bytes(tag, "little") % place.groups * _GROUP
        begin = place.tags + 8 * group
        end = begin + 8 * _GROUP
        self._room.need(begin, 8 * _GROUP)
        memory = self._room.memory
        at = memory.find(tag, begin, end)
        while at >= 0:
            if (at - begin) % 8 == 0:
                return group + (at - begin) // 8
            at = memory.find(tag, at + 1, end)
        return None

    def _take(self, place: _Class, tag: bytes, now: float, window: float) -> _Ring:
        """A free or idle slot for a new window."""
        self._room.extend(place.end)
        memory = self._room.memory
        group = int.from_bytes(tag, "little") % place.groups * _GROUP
        self._room.need(place.heads + _HEAD.size * group, _HEAD.size * _GROUP)
        for slot in range(group, group + _GROUP):
            at = place.tags + 8 * slot
            _, _, last, length = _HEAD.unpack_from(memory, place.heads + _HEAD.size * slot)
            if memory[at : at + 8] == _NOTHING or last + length <= now or last > now + 1.0:
                memory[at : at + 8] = tag
                _HEAD.pack_into(memory, place.heads + _HEAD.size * slot, 0, 0, now, window)
                return _Ring(self._room, place, slot)
        raise GatewayFault("The rate limiter has no room for another caller. Try again.", status=503, retry_after=1.0)


def _state(allowed: bool, limit: int, ring: _Ring, now: float, window: float) -> Window:
    """As `counters.state`, for a ring, of which it reads only the two times that matter."""
    count = ring.count
    if limit <= 0:
        return Window(False, limit, 0, window, window)
    reset = ring.time(count - 1) + window - now if count else 0.0
    most = min(limit, ring.capacity)
    if count < most:
        return Window(allowed, limit, limit - count, reset, 0.0)
    return Window(allowed, limit, 0, reset, ring.time(count - most) + window - now)
