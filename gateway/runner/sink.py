"""Where the answer of a call goes. The runner knows no sockets: it writes into a sink.

Three things are sinks: the caller's connection (`gateway.http.calls.direct`), the recording of a keyed call
(`gateway.http.calls.idempotency`), and a background response, whose relay records it
(`gateway.http.calls.background`). Who comes back for an answer reads a `gateway.runner.recording.Recording`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gateway.dialect import RawAnswer
from gateway.errors import Fault

Flow = Callable[[bool], None]
"""Told False when whoever takes the bytes can take no more, and True when it can again."""


class EventStream(Protocol):
    """Takes one event stream.

    begun: `begin` was called; from then on a fault is told inside the stream.
    quiet: seconds of silence after which `keep_alive` is due, 0 for never.
    """

    begun: bool
    quiet: float

    async def begin(self, flow: Flow) -> None:
        """Send the head of the answer, once; further calls do nothing. flow: pauses and resumes the source."""

    def write(self, data: bytes) -> None:
        """Take bytes now; never waits."""

    def keep_alive(self) -> None:
        """Write a sign of life that every reader of this stream skips."""

    async def end(self, last: bytes, fault: Fault | None, seconds: float) -> None:
        """Write the closing bytes and close the stream in an orderly way.

        fault: what the stream ends with, None for a good end. seconds: how long to wait for a slow reader.
        """


class Sink(EventStream, Protocol):
    """Takes the answer of one call: a stream, or a whole one."""

    async def give(self, answer: dict[str, Any] | RawAnswer) -> None:
        """Take a whole answer, a JSON object or what is none. The call is billed by then."""
