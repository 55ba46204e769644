"""The body of one upstream answer that is no model call, piece by piece: as fast as whoever reads it, and no more of it
in memory than waits to be read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping

from gateway.errors import Fault, UpstreamFault
from gateway.provider import Exchange
from gateway.upstream.inflating import Inflater, inflater_of
from gateway.upstream.timeouts import Limits, Watchdog

MOST_WAITING = 256 * 1024
"""Bytes that wait to be read, beyond which the upstream is paused."""


def _silent() -> None:
    """Nobody waits for a sign of life."""


class BodyStream:
    """Implements `gateway.provider.Sink`. limits, deadline: as for a whole answer.

    status, headers: of the answer, once `begin` has returned.
    """

    def __init__(self, limits: Limits, deadline: float) -> None:
        self.exchange: Exchange | None = None
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._most = limits.max_reply
        self._size = 0
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._paused = False
        self._ended = False
        self._fault: Fault | None = None
        self._inflater: Inflater | None = None
        self._news = asyncio.Event()
        self._watchdog = Watchdog(limits, deadline, self._expire, _silent, 0.0)

    async def begin(self) -> int:
        """Wait for the head; its status. Raises Fault when there is none."""
        while not (self.status or self._ended):
            await self._wait()
        if self._fault is not None and not self.status:
            raise self._fault
        return self.status

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while not (self._pieces or self._ended):
                await self._wait()
            if not self._pieces:
                if self._fault is not None:
                    raise self._fault
                return
            piece = self._pieces.popleft()
            self._waiting -= len(piece)
            if self._paused and not self._waiting:
                self._pause(False)
            yield piece

    async def read(self, most: int) -> bytes:
        """All that is left, `most` bytes at most. Raises Fault when it is more."""
        found: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > most:
                raise _too_long(most)
            found.append(piece)
        return b"".join(found)

    def close(self) -> None:
        """No more of it is wanted. Idempotent."""
        self._watchdog.stop()
        if not self._ended and self.exchange is not None:
            self.exchange.cancel()
        self._ended = True

    # Sink

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """The status, and headers with lower-case names."""
        self.status, self.headers = status, headers
        self._watchdog.touch_in()
        try:
            self._inflater = inflater_of(headers)
        except Fault as fault:
            self._expire(fault)
        self._news.set()

    @property
    def length(self) -> int | None:
        """Bytes of the whole body, where the answer told them."""
        text = self.headers.get("content-length", "")
        return int(text) if self._inflater is None and text.isascii() and text.isdigit() else None

    def data(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        self._watchdog.touch_in()
        if self._ended:
            return
        try:
            for piece in (chunk,) if self._inflater is None else self._inflater.pieces(chunk):
                self._size += len(piece)
                if self._size > self._most:
                    raise _too_long(self._most)
                self._pieces.append(piece)
                self._waiting += len(piece)
        except Fault as fault:
            self._expire(fault)
            return
        if self._waiting > MOST_WAITING and not self._paused:
            self._pause(True)
        self._news.set()

    def end(self, fault: Fault | None) -> None:
        """It is over, or broken off by `fault`."""
        self._watchdog.stop()
        if not self._ended:
            self._ended, self._fault = True, fault
        self._news.set()

    def _expire(self, fault: Fault) -> None:
        if not self._ended and self.exchange is not None:
            self.exchange.cancel()
        self.end(fault)

    def _pause(self, on: bool) -> None:
        self._paused = on
        self._watchdog.suspend(on)
        if self.exchange is not None and not self._ended:
            (self.exchange.pause if on else self.exchange.resume)()

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()


def _too_long(most: int) -> UpstreamFault:
    return UpstreamFault(f"The provider's answer is longer than {most} bytes.", code="upstream_reply_too_large")
