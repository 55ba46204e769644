"""Responses that are being made in this process: their events for callers who come back, and their end on demand.

A tape keeps the events of one running response as the bytes that were sent. It is written from the pump's callback,
so writing is an append; who reads it waits for more in a task of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson

from gateway.dialect import KEEP_ALIVE
from gateway.errors import Fault, GatewayFault

CANCELLED = GatewayFault("The response was cancelled.", status=499, code="cancelled")
"""Stops a background response on its caller's wish."""
_EVENTS_AT_ONCE = 256
_NUMBER = re.compile(rb'"sequence_number":(\d+)')


class Tape:
    """The events of one response so far. limit: bytes beyond which nothing is kept any more (`cut_off`)."""

    def __init__(self, limit: int) -> None:
        self.ended = False
        self.cut_off = limit <= 0
        self._limit = limit
        self._size = 0
        self._parts: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []

    def write(self, data: bytes) -> None:
        """Append events; implements `gateway.upstream.stream_pump.Outlet`."""
        if data.startswith(b":"):
            return  # a keep-alive of the moment
        if not self.cut_off:
            self._size += len(data)
            if self._size > self._limit:
                self.cut_off = True
                self._parts.clear()
            else:
                self._parts.append(data)
        self._wake()

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._wake()

    @property
    def whole(self) -> bytes:
        """All events so far; nothing when they were too many."""
        return b"".join(self._parts)

    async def follow(self, after: int, quiet: float) -> AsyncIterator[bytes]:
        """The events with a number above `after`, those to come included; ends with the tape, or early when it is
        cut off. quiet: seconds of silence after which a comment is sent as a sign of life, 0 for never."""
        place = len(self._parts)
        if place:
            yield from_number(self.whole, after)
        while not self.cut_off:
            if place < len(self._parts):
                new, place = b"".join(self._parts[place:]), len(self._parts)
                yield new
            elif self.ended:
                return
            elif not await self._more(quiet):
                yield KEEP_ALIVE

    async def wait_end(self) -> None:
        """Return when the tape has ended."""
        while not self.ended:
            await self._more(0)

    async def _more(self, quiet: float) -> bool:
        """Wait for something new; False when `quiet` seconds (0: any number) brought nothing."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(quiet or None):
                await future
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)


def from_number(events: bytes, after: int) -> bytes:
    """Those of these events whose sequence number is above `after`."""
    if after < 0:
        return events
    kept = []
    for event in events.split(b"\n\n")[:-1]:
        if _number(event) > after:
            kept.append(event + b"\n\n")
    return b"".join(kept)


def last_number(events: bytes, otherwise: int) -> int:
    """The sequence number of the last of these events."""
    last = events.rstrip(b"\n").rpartition(b"\n\n")[2]
    return _number(last) if last.startswith(b"event:") else otherwise


def _number(event: bytes) -> int:
    """An event's own number. Quotes inside JSON strings are escaped, so only members can match; where several do (a
    schema in the echoed tools), the event is parsed."""
    found = _NUMBER.findall(event)
    if len(found) == 1:
        return int(found[0])
    number = orjson.loads(event.partition(b"data: ")[2]).get("sequence_number")
    return number if isinstance(number, int) else -1


class RunningResponse:
    """One running response. account_id: whose it is. snapshot: the object as it stands. add_up: prepares it by so many
    events, and says whether there are more. stop: ends a background one with this fault, None for one that ends with
    its caller."""

    def __init__(
        self,
        response_id: str,
        account_id: str,
        tape: Tape,
        snapshot: Callable[[], dict[str, Any]],
        stop: Callable[[Fault], None] | None = None,
        add_up: Callable[[int], bool] | None = None,
    ) -> None:
        self.id = response_id
        self.account_id = account_id
        self.tape = tape
        self.snapshot = snapshot
        self.stop = stop
        self._add_up = add_up

    async def current(self) -> dict[str, Any]:
        """`snapshot`, with others given their turn while a long stream is added up."""
        more = True
        while more and self._add_up is not None:
            more = self._add_up(_EVENTS_AT_ONCE)
            await asyncio.sleep(0)
        return self.snapshot()


class RunningResponses:
    """All running responses of one gateway."""

    def __init__(self) -> None:
        self._all: dict[str, RunningResponse] = {}
        self._background: dict[str, RunningResponse] = {}

    def add(self, live: RunningResponse) -> None:
        """A response begins."""
        self._all[live.id] = live
        if live.stop is not None:
            self._background[live.id] = live

    def discard(self, response_id: str) -> None:
        """A response is over (and, when it is to be kept, written)."""
        self._all.pop(response_id, None)
        self._background.pop(response_id, None)

    def get(self, account_id: str, response_id: str) -> RunningResponse | None:
        """The running response of this account."""
        live = self._all.get(response_id)
        return live if live is not None and live.account_id == account_id else None

    def count_background(self, account_id: str) -> int:
        """How many background responses of this account run here."""
        return sum(1 for live in self._background.values() if live.account_id == account_id)

    @property
    def background(self) -> int:
        """How many background responses run."""
        return len(self._background)

    def stop_background(self, fault: Fault, ids: list[str] | None = None) -> None:
        """End background responses: those with these ids, or all."""
        for live in list(self._background.values()):
            if live.stop is not None and (ids is None or live.id in ids):
                live.stop(fault)
