"""Responses that are being made in this process: their events for callers who come back, and their end on demand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import orjson

from gateway.errors import Fault, GatewayFault
from gateway.runner.recording import Recording

_EVENTS_AT_ONCE = 256
_NUMBER = re.compile(rb'"sequence_number":(\d+)')


def interrupted(message: str = "The response was interrupted before it was complete.") -> dict[str, Any]:
    """The `error` of a background response whose process ended."""
    return {"code": "server_error", "message": message}


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


class ResponseCancelled(GatewayFault):
    """Ends a background response on its owner's wish."""

    def __init__(self) -> None:
        super().__init__("The response was cancelled.", status=499, code="cancelled")


class RunningResponse:
    """One running response.

    account_id: whose it is.
    recording: its events so far.
    snapshot: the object as it stands.
    add_up: prepares the snapshot by so many events, and says whether there are more.
    stop: ends a background one with a fault, None for one that ends with its caller.
    """

    def __init__(
        self,
        response_id: str,
        account_id: str,
        recording: Recording,
        snapshot: Callable[[], dict[str, Any]],
        stop: Callable[[Fault], None] | None = None,
        add_up: Callable[[int], bool] | None = None,
    ) -> None:
        self.id = response_id
        self.account_id = account_id
        self.recording = recording
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

    def add(self, response: RunningResponse) -> None:
        """A response begins."""
        self._all[response.id] = response
        if response.stop is not None:
            self._background[response.id] = response

    def discard(self, response_id: str) -> None:
        """A response is over (and, when it is to be kept, written)."""
        self._all.pop(response_id, None)
        self._background.pop(response_id, None)

    def get(self, account_id: str, response_id: str) -> RunningResponse | None:
        """The running response of this account; one of another account is not there."""
        found = self._all.get(response_id)
        return found if found is not None and found.account_id == account_id else None

    def count_background(self, account_id: str) -> int:
        """How many background responses of this account run here."""
        return sum(1 for response in self._background.values() if response.account_id == account_id)

    @property
    def background(self) -> int:
        """How many background responses run."""
        return len(self._background)

    def stop_background(self, make_fault: Callable[[], Fault], ids: list[str] | None = None) -> None:
        """End background responses: those with these ids, or all, each with a fault of its own."""
        for response in list(self._background.values()):
            if response.stop is not None and (ids is None or response.id in ids):
                response.stop(make_fault())
