"""An answer that is written down while it is given, for callers who ask for it again.

The recorder takes the place of the caller's connection (`RecordingStream`); any number of callers follow what it wrote,
each at its own pace: what is new is written to their sockets in the same callback, what a slow one missed waits in the
recording. An answer that outgrows `limit` is not kept: then only what somebody has still to read stays in memory, and
the upstream is paused for the slowest reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from gateway.errors import Fault
from gateway.http.streaming.sse_response import EventStream

_PIECE = 1 << 18
"""Bytes written to a socket at a time that has to catch up."""


class Recording:
    """One answer. limit: bytes of it that may be kept.

    begun: `status` and `headers` are known. streamed: it is an event stream. fault: why there is no answer.
    too_large: it outgrew the limit. abandoned: called when it is too large and nobody reads it.
    """

    def __init__(self, limit: int, abandoned: Callable[[], None]) -> None:
        self.begun = False
        self.ended = False
        self.streamed = False
        self.too_large = False
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.fault: Fault | None = None
        self._limit = limit
        self._abandoned = abandoned
        self._size = 0
        self._parts: list[bytes] = []
        self._before = 0
        self._readers: set[Reader] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._flow: Callable[[bool], None] = _nothing

    # The side of whoever makes the answer.

    def begin(self, headers: Mapping[str, str], flow: Callable[[bool], None]) -> None:
        """An event stream begins. flow: pauses (False) and resumes (True) its source."""
        self.headers, self._flow = headers, flow
        self.begun = self.streamed = True
        self._wake()

    def write(self, data: bytes) -> None:
        """More of it."""
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._limit:
            self.too_large = True
        for reader in list(self._readers):
            reader.catch_up()
        self._check_flow()

    def end(self) -> None:
        """That was all."""
        self.ended = True
        self._flow = _nothing
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

    @property
    def whole(self) -> bytes:
        """All of it so far; only of use while it is not too large."""
        return b"".join(self._parts)

    # The side of those who read.

    async def wait(self) -> None:
        """Return when something happened: it began, or ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    @property
    def cut(self) -> bool:
        """Its beginning is not there any more."""
        return self._before > 0

    def join(self, reader: Reader) -> None:
        """`reader` wants all of it, from the beginning (unless it is `cut`)."""
        self._readers.add(reader)
        reader.catch_up()

    def leave(self, reader: Reader) -> None:
        """`reader` wants no more."""
        self._readers.discard(reader)
        self._check_flow()

    def after(self, place: int) -> tuple[bytes, int]:
        """A piece from the part number `place` on, and the number to go on with; nothing at the end."""
        start = place - self._before
        parts: list[bytes] = []
        size = 0
        while start < len(self._parts) and size < _PIECE:
            parts.append(self._parts[start])
            size += len(self._parts[start])
            start += 1
        return b"".join(parts), start + self._before

    def _check_flow(self) -> None:
        """Beyond the limit: forget what all have read, and let the source wait for the slowest."""
        if not self.too_large:
            return
        if not self._readers:
            if not self.ended:
                self._abandoned()
            return
        read = min(reader.place for reader in self._readers)
        del self._parts[: read - self._before]
        self._before = read
        self._flow(not any(reader.paused for reader in self._readers))

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Reader:
    """One caller who is given a recorded stream through `outlet`."""

    def __init__(self, recording: Recording) -> None:
        self.place = 0
        self.paused = False
        self.outlet: EventStream | None = None
        self._recording = recording
        self._drained = asyncio.Event()

    def flow(self, on: bool) -> None:
        """The caller's socket is full, or has drained."""
        self.paused = not on
        if on:
            self.catch_up()
            self._recording._check_flow()

    def catch_up(self) -> None:
        """Write what is there, as far as the socket takes it."""
        recording = self._recording
        while not self.paused and self.outlet is not None:
            data, self.place = recording.after(self.place)
            if not data:
                if recording.ended:
                    self._drained.set()
                return
            self.outlet.write(data)

    async def read_all(self) -> None:
        """Return when everything was written, or at least queued on the socket."""
        await self._drained.wait()


Keep = Callable[[Recording, bytes, Fault | None], Awaitable[None]]
"""Awaited before the last bytes of a recorded stream are given out: the bytes, and the fault that ended it."""


class RecordingStream:
    """Writes one event stream into a recording; implements `gateway.http.streaming.sse_response.EventStream`."""

    def __init__(
        self,
        recording: Recording,
        headers: Callable[[], Mapping[str, str]],
        flow: Callable[[bool], None],
        keep: Keep,
    ) -> None:
        self.response = web.StreamResponse()
        self.begun = False
        self._recording = recording
        self._headers = headers
        self._flow = flow
        self._keep = keep
        self._last = b""
        self._fault: Fault | None = None

    async def begin(self) -> None:
        """The stream begins, once."""
        if not self.begun:
            self.begun = True
            self._recording.begin(self._headers(), self._flow)

    def write(self, data: bytes) -> None:
        """More of it."""
        if data:
            self._recording.write(data)

    def write_last(self, data: bytes, fault: Fault | None = None) -> None:
        """The closing bytes; they wait for `end`, because nobody shall have a complete answer that is not stored."""
        self._last, self._fault = data, fault

    async def end(self, seconds: float) -> web.StreamResponse:
        """Store it, then give out the rest."""
        await self._keep(self._recording, self._last, self._fault)
        self.write(self._last)
        self._recording.end()
        return self.response


def _nothing(on: bool) -> None:
    return None
