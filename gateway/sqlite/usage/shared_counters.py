"""Sliding windows that several processes of one machine share, exact: a memory-mapped file beside the database.

Why not a table: a hit must cost a few microseconds and needs no durability, since a window is forgotten after a
minute. The file holds rings of times (CLOCK_MONOTONIC, which all processes of a machine read alike) and is guarded by
a lock in it (`shared_lock`) held for microseconds, never across an `await`; it is free again when its holder dies.

Layout: a page of header and lock (`shared_file`), then for each class of capacity: tags (8 bytes per slot, a hash of
name and window), heads (24 bytes: first, count, last, window), rings (8 bytes per time). A name may sit in any slot of
one group of 32. Slots are reused once idle; the file is sparse, so untouched slots take no room, and it goes no further
than the class of the largest window that was ever asked for.

A window that was found before, has something in it and is not full is counted in a few steps (`_Place`); everything
else goes the long way, which finds the same.
"""

from __future__ import annotations

import asyncio
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from gateway.api import GatewayFault
from gateway.api.stores import Window, window_state
from gateway.sqlite.usage.shared_file import PAGE, Room, open_shared

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
_HEAD = struct.Struct("=IIdd")
_TIME = struct.Struct("=d")
_NOTHING = b"\0" * 8
PATIENCE = 2.0
"""Seconds to wait for the lock before a hit fails (closed)."""
_SPINS = 30
"""Tries to get the lock before anything else is done meanwhile: as long as its holder has it, if he is not kept from
running."""
_FEW = 8
"""Times that are over which the short way drops; of more the long way looks at few."""


class _Class:
    """Where the parts of one class of rings begin in the file."""

    __slots__ = ("capacity", "end", "groups", "heads", "rings", "tags")

    def __init__(self, capacity: int, slots: int, begin: int) -> None:
        self.capacity = capacity
        self.groups = slots // _GROUP
        self.tags = begin
        self.heads = self.tags + 8 * slots
        self.rings = self.heads + _HEAD.size * slots
        self.end = -(-(self.rings + 8 * capacity * slots) // PAGE) * PAGE


class _Place:
    """Where a window of a certain limit was found. It is there as long as its tag is."""

    __slots__ = ("begin", "capacity", "head", "nearly", "tag", "tag_at", "tag_end")

    def __init__(self, tag: bytes, place: _Class, slot: int, limit: int) -> None:
        self.tag = tag
        self.tag_at = place.tags + 8 * slot
        self.tag_end = self.tag_at + 8
        self.head = place.heads + _HEAD.size * slot
        self.begin = place.rings + 8 * place.capacity * slot
        self.capacity = place.capacity
        self.nearly = min(limit, place.capacity) - 1
        """With so many times another one may be the last, of which there is more to tell."""


class _Ring:
    """One window's times, read from its slot; `first` and `count` are of the times that still count."""

    __slots__ = ("begin", "capacity", "count", "first", "head", "memory", "room")

    def __init__(self, room: Room, place: _Class, slot: int) -> None:
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
        # Not by `pack_into`, which fills it with zeros first: to die then would be to forget the window.
        self.memory[self.head : self.head + _HEAD.size] = _HEAD.pack(self.first, self.count, now, window)


class SharedCounters:
    """`gateway.stores.Counters` over all processes that open the same file. See the module."""

    def __init__(
        self, path: Path, monotonic: Callable[[], float], classes: Sequence[tuple[int, int]] = CLASSES
    ) -> None:
        self._monotonic = monotonic
        self._classes: list[_Class] = []
        for capacity, slots in classes:
            self._classes.append(_Class(capacity, slots, self._classes[-1].end if self._classes else PAGE))
        self._tags: dict[tuple[str, float], bytes] = {}
        self._found: dict[bytes, tuple[_Class, int]] = {}
        self._places: dict[tuple[str, int, float], _Place] = {}
        self._file, self._lock = open_shared(path, [place.end for place in self._classes])
        self._room = Room(self._file)

    async def hit(
        self, names_and_limits: Sequence[tuple[str, int]], window: float, *, seen: Sequence[tuple[str, int]] = ()
    ) -> Sequence[Window]:
        """Raises GatewayFault (503) when the lock or room for a new window is not to be had.
        A limit above the largest class counts as that."""
        if not self._lock.take():
            await self._wait()
        try:
            now = self._monotonic()
            told = self._hit_quickly(names_and_limits, window, now)
            if told is None:
                told = self._hit(names_and_limits, window, now)
            if seen:
                told += self._seen_quickly(seen, window, now) or self._seen(seen, window, now)
            return told
        finally:
            self._lock.release()

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """What `hit` would find."""
        if not self._lock.take():
            await self._wait()
        try:
            now = self._monotonic()
            return self._seen_quickly(names_and_limits, window, now) or self._seen(names_and_limits, window, now)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._file >= 0:
            self._room.memory.close()
            self._lock.close()
            os.close(self._file)
            self._file = -1

    async def _wait(self) -> None:
        """Take the lock that another process has."""
        for _ in range(_SPINS):
            if self._lock.take():
                return
        # Its holder was stopped in the middle: look again shortly, without stopping the loop.
        deadline = asyncio.get_running_loop().time() + PATIENCE
        nap = 0.0
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(nap)
            nap = min(nap + 0.0001, 0.002)
            if self._lock.take():
                return
        raise GatewayFault("The rate limiter is not available. Try again.", status=503, retry_after=1.0)

    def _look(self, name: str, limit: int, window: float, now: float) -> tuple[_Place, int, int, float] | None:
        """A window in a few steps: where it is, its first time, how many there are, and the newest one. None when it is
        new or empty, nearly full, has many times that are over, or anything else that takes the long way."""
        place = self._places.get((name, limit, window))
        if place is None:
            return None
        memory = self._room.memory
        if memory[place.tag_at : place.tag_end] != place.tag:
            return None
        capacity, begin, since = place.capacity, place.begin, now - window
        first, count, newest, _ = _HEAD.unpack_from(memory, place.head)
        if first >= capacity or newest > now:
            return None
        for _ in range(_FEW):
            if not 0 < count < place.nearly:
                return None
            if _TIME.unpack_from(memory, begin + 8 * first)[0] > since:
                return place, first, count, newest
            first, count = (first + 1) % capacity, count - 1
        return None

    def _hit_quickly(
        self, names_and_limits: Sequence[tuple[str, int]], window: float, now: float
    ) -> list[Window] | None:
        """As `_hit`, where that is a few steps; else None, and nothing was changed."""
        backed = self._room.backed
        adding: list[tuple[int, int, int, int]] = []
        told: list[Window] = []
        for name, limit in names_and_limits:
            looked = self._look(name, limit, window, now)
            if looked is None:
                return None
            place, first, count, _ = looked
            at = place.begin + 8 * ((first + count) % place.capacity)
            if not backed[at // PAGE]:
                return None
            count += 1
            adding.append((at, place.head, first, count))
            told.append(Window(True, limit, limit - count, window, 0.0))
        memory = self._room.memory
        for at, head, first, count in adding:
            _TIME.pack_into(memory, at, now)
            memory[head : head + _HEAD.size] = _HEAD.pack(first, count, now, window)
        return told

    def _seen_quickly(
        self, names_and_limits: Sequence[tuple[str, int]], window: float, now: float
    ) -> list[Window] | None:
        """As `_seen`, where that is a few steps; else None."""
        told: list[Window] = []
        for name, limit in names_and_limits:
            looked = self._look(name, limit, window, now)
            if looked is None:
                return None
            _, _, count, newest = looked
            told.append(Window(True, limit, limit - count, newest + window - now, 0.0))
        return told

    def _seen(self, names_and_limits: Sequence[tuple[str, int]], window: float, now: float) -> list[Window]:
        rings = [self._kept(name, window, now) for name, _ in names_and_limits]
        allowed = all(
            ring.count < min(limit, ring.capacity) if ring is not None else limit > 0
            for (_, limit), ring in zip(names_and_limits, rings, strict=True)
        )
        return [
            window_state(allowed, limit, (), now, window) if ring is None else _state(allowed, limit, ring, now, window)
            for (_, limit), ring in zip(names_and_limits, rings, strict=True)
        ]

    def _hit(self, names_and_limits: Sequence[tuple[str, int]], window: float, now: float) -> list[Window]:
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
            self._places[(name, limit, window)] = _Place(tag, wanted, found[1], limit)
            return _Ring(self._room, *found)
        ring, tag_at = self._take(wanted, tag, now, window)
        if found is None:
            self._room.memory[tag_at : tag_at + 8] = tag
            return ring
        # The limit was changed beyond its class: the newest times move along. It is found in the new place only when
        # all of them are there, and in the former one until then; what is left of a process that died then goes.
        place, old = found
        left = self._find_in(wanted, tag)
        if left is not None:
            self._room.memory[wanted.tags + 8 * left : wanted.tags + 8 * left + 8] = _NOTHING
        former = _Ring(self._room, place, old)
        former.drop(now - window, now)
        for i in range(max(former.count - ring.capacity, 0), former.count):
            ring.add(former.time(i))
        if ring.count:
            ring.save(ring.time(ring.count - 1), window)
        self._room.memory[tag_at : tag_at + 8] = tag
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
                self._places.clear()
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

    def _take(self, place: _Class, tag: bytes, now: float, window: float) -> tuple[_Ring, int]:
        """A free or idle slot for a new window, and where its tag is to be written."""
        self._room.extend(place.end)
        memory = self._room.memory
        group = int.from_bytes(tag, "little") % place.groups * _GROUP
        self._room.need(place.tags + 8 * group, 8 * _GROUP)
        self._room.need(place.heads + _HEAD.size * group, _HEAD.size * _GROUP)
        for slot in range(group, group + _GROUP):
            at = place.tags + 8 * slot
            _, _, last, length = _HEAD.unpack_from(memory, place.heads + _HEAD.size * slot)
            if memory[at : at + 8] == _NOTHING or last + length <= now or last > now + 1.0:
                memory[at : at + 8] = _NOTHING
                _HEAD.pack_into(memory, place.heads + _HEAD.size * slot, 0, 0, now, window)
                return _Ring(self._room, place, slot), at
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
