"""An answer that is written down while it is given, for callers who ask for it again.

Any number of readers follow one recording, each at its own pace: what is new is written to their sockets in the same
callback, what a slow one missed waits in the recording. No task wakes for an event.

A recording keeps at most `limit` bytes. What happens beyond depends on its source. One that can be paused (the run of
a keyed call, which has no other reader) waits for the slowest reader, and only what somebody has still to read stays in
memory. One that cannot (a response that also goes to its caller, or runs in the background) is not kept at all any
more: its readers are sent away (`cut_off`) and find the whole answer in the store when it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.errors import Fault
from gateway.runner.sink import Flow

_PIECE = 1 << 18
"""Bytes written to a socket at a time that has to catch up."""


class Recording:
    """One answer. limit: bytes of it that may be kept. abandoned: called when it is too large and nobody reads it.

    begun: `status` and `headers` are known, or its first bytes came.
    ended: nothing more will come.
    streamed: it is an event stream.
    too_large: it outgrew the limit.
    cut_off: it outgrew the limit and its source does not wait, so nothing of it is here any more.
    fault: why there is no answer, or no more of it.
    """

    def __init__(self, limit: int, abandoned: Callable[[], None] | None = None) -> None:
        self.begun = False
        self.ended = False
        self.streamed = False
        self.too_large = False
        self.cut_off = False
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.fault: Fault | None = None
        self._limit = limit
        self._abandoned = abandoned
        self._size = 0
        self._parts: list[bytes] = []
        self._forgotten = 0
        self._readers: set[Reader] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._flow: Flow | None = None

    # The side of whoever makes the answer.

    def begin(self, headers: Mapping[str, str], flow: Flow | None = None) -> None:
        """An event stream begins. flow: pauses and resumes its source, None for a source that does not wait."""
        self.headers, self._flow = headers, flow
        self.begun = self.streamed = True
        self._wake()

    def write(self, data: bytes) -> None:
        """More of it."""
        if self.cut_off:
            return
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._limit:
            self.too_large = True
            if self._flow is None:
                self._cut_off()
                return
        for reader in list(self._readers):
            reader.catch_up()
        if self.too_large:
            self._shrink()

    def end(self) -> None:
        """That was all."""
        self.ended = True
        self._flow = None
        for reader in self._readers:
            reader.catch_up()
        self._wake()

    def give(self, status: int, headers: Mapping[str, str], body: bytes, *, streamed: bool) -> None:
        """The whole answer at once."""
        self.status, self.headers, self.streamed = status, headers, streamed
        self._parts = [body]
        self.begun = self.ended = True
        self._wake()

    def fail(self, fault: Fault) -> None:
        """There is no answer, or (once it has begun) no more of it."""
        self.fault = fault
        self.end()

    # The side of those who read.

    @property
    def whole(self) -> bytes:
        """All of it so far; only of use while it is not too large."""
        return b"".join(self._parts)

    @property
    def beginning_lost(self) -> bool:
        """Its beginning is not there any more."""
        return self.cut_off or self._forgotten > 0

    async def wait(self) -> None:
        """Return when something happened: it began, was cut off, or ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def wait_end(self) -> None:
        """Return when it has ended."""
        while not self.ended:
            await self.wait()

    def join(self, reader: Reader, *, pick: Callable[[bytes], bytes] | None = None) -> None:
        """`reader` wants all of it, from the beginning (unless `beginning_lost`). pick: what it wants of the part that
        is there already, None for all."""
        self._readers.add(reader)
        if pick is not None:
            reader.skip(pick(self.whole), self._forgotten + len(self._parts))
        reader.catch_up()

    def leave(self, reader: Reader) -> None:
        """`reader` wants no more."""
        self._readers.discard(reader)
        if self.too_large:
            self._shrink()

    def after(self, place: int) -> tuple[bytes, int]:
        """A piece from the part number `place` on, and the number to go on with; nothing at the end."""
        start = place - self._forgotten
        parts: list[bytes] = []
        size = 0
        while start < len(self._parts) and size < _PIECE:
            parts.append(self._parts[start])
            size += len(self._parts[start])
            start += 1
        return b"".join(parts), start + self._forgotten

    def reader_moved(self) -> None:
        """A reader's socket has filled or drained."""
        if self.too_large:
            self._shrink()

    def _shrink(self) -> None:
        """Beyond the limit: forget what all have read, and let the source wait for the slowest."""
        if not self._readers:
            if not self.ended and self._abandoned is not None:
                self._abandoned()
            return
        read = min(reader.place for reader in self._readers)
        del self._parts[: read - self._forgotten]
        self._forgotten = max(read, self._forgotten)
        if self._flow is not None:
            self._flow(not any(reader.paused for reader in self._readers))

    def _cut_off(self) -> None:
        self.cut_off = True
        self._parts.clear()
        for reader in self._readers:
            reader.dismiss()
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class _Outlet(Protocol):
    def write(self, data: bytes) -> None: ...


class Reader:
    """One caller who is given a recorded stream through `outlet`.

    place: the part that comes next. paused: the socket is full. last: the bytes written last. written: when, in the
    loop's time.
    """

    def __init__(self, recording: Recording, outlet: _Outlet) -> None:
        self.place = 0
        self.paused = False
        self.last = b""
        self.written = asyncio.get_running_loop().time()
        self._outlet = outlet
        self._recording = recording
        self._done = asyncio.Event()

    def flow(self, on: bool) -> None:
        """The caller's socket is full, or has drained."""
        self.paused = not on
        if on:
            self.catch_up()
        self._recording.reader_moved()

    def skip(self, data: bytes, place: int) -> None:
        """Write `data`, and go on with the part number `place`."""
        self.place = place
        if data:
            self._write(data)

    def catch_up(self) -> None:
        """Write what is there, as far as the socket takes it."""
        recording = self._recording
        while not (self.paused or recording.cut_off):
            data, self.place = recording.after(self.place)
            if not data:
                if recording.ended:
                    self._done.set()
                return
            self._write(data)
        if recording.cut_off:
            self.dismiss()

    def dismiss(self) -> None:
        """There is nothing more to be had from the recording."""
        self._done.set()

    async def read_all(self, quiet: float = 0.0, keep_alive: Callable[[], None] | None = None) -> None:
        """Return when everything was written, or at least queued on the socket, or the recording was cut off.

        keep_alive: called after each `quiet` seconds (0: never) in which nothing was written.
        """
        loop = asyncio.get_running_loop()
        while quiet and keep_alive is not None and not self._done.is_set():
            try:
                async with asyncio.timeout_at(self.written + quiet):
                    await self._done.wait()
            except TimeoutError:
                if loop.time() >= self.written + quiet:
                    keep_alive()
                    self.written = loop.time()
        await self._done.wait()

    def _write(self, data: bytes) -> None:
        self.last = data
        self.written = asyncio.get_running_loop().time()
        self._outlet.write(data)
