"""Named time limits of one upstream exchange, on one timer.

A timer per received event would cost more than the event. So activity only notes the time, and the one timer,
when it fires, looks how much is left and sleeps on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import UpstreamFault


@dataclass(slots=True, frozen=True)
class Limits:
    """Time and size limits of an exchange with an upstream: seconds and bytes.

    first_byte: from sending the request to the first byte of the answer's body. idle: between two reads after
    that. total: from sending the request to the end of the answer; a call has one of its own, over all its attempts.
    max_reply bounds a whole answer, max_event one event. connect: DNS, TCP and TLS together, None for the transport's
    own.
    """

    first_byte: float
    idle: float
    total: float
    max_reply: int
    max_event: int
    connect: float | None = None


def _ignore(*_: object) -> None:
    return None


class Watchdog:
    """Calls `expire(fault)` when a limit passes, and `silence()` whenever `quiet` seconds went by without
    `touch_out` (nothing was written to the caller); `quiet` 0 means never."""

    __slots__ = (
        "_deadline",
        "_expire",
        "_limits",
        "_loop",
        "_quiet",
        "_silence",
        "_timer",
        "began",
        "last_in",
        "last_out",
        "receiving",
        "suspended",
    )

    def __init__(
        self,
        limits: Limits,
        deadline: float,
        expire: Callable[[UpstreamFault], None],
        silence: Callable[[], None],
        quiet: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._deadline = deadline
        self._expire: Callable[[UpstreamFault], None] = expire
        self._silence: Callable[[], None] = silence
        self._quiet = quiet
        self.began = self.last_in = self.last_out = self._loop.time()
        self.receiving = False
        self.suspended = False
        # No later than what counts once the answer has begun: then the timer need not be set anew for that, which is
        # once for each answer. When it is early it sleeps on.
        self._timer: asyncio.TimerHandle | None = None
        self._arm(self.began + limits.idle)

    def touch_in(self) -> None:
        """Bytes came from upstream."""
        self.last_in = self._loop.time()
        if not self.receiving:
            self.receiving = True
            self._advance()

    def touch_out(self) -> None:
        """Bytes went to the caller."""
        self.last_out = self._loop.time()

    def touch_through(self) -> None:
        """Bytes came from upstream, not the first, and went to the caller."""
        self.last_in = self.last_out = self._loop.time()

    def suspend(self, on: bool) -> None:
        """While the caller does not read, we do not read from upstream, so its silence is not its fault."""
        self.suspended = on
        self.last_in = self._loop.time()
        if not on:
            self._advance()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._expire, self._silence = _ignore, _ignore  # they know this watchdog: no cycle shall remain

    def _next(self) -> tuple[float, str]:
        if self.suspended:
            return self._deadline, "total"
        if self.receiving:
            limit, name = self.last_in + self._limits.idle, "idle"
        else:
            limit, name = self.began + self._limits.first_byte, "first_byte"
        return (limit, name) if limit < self._deadline else (self._deadline, "total")

    def _advance(self) -> None:
        """Another limit counts now: the timer must not sleep past it."""
        if self._timer is not None and self._timer.when() > self._next()[0]:
            self._timer.cancel()
            self._arm()

    def _arm(self, latest: float = math.inf) -> None:
        when, _ = self._next()
        if when > latest:
            when = latest
        if self._quiet:
            when = min(when, self.last_out + self._quiet)
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        limit, name = self._next()
        if now >= limit:
            self._expire(time_limit_passed(name))
            return
        if self._quiet and now >= self.last_out + self._quiet:
            self.last_out = now
            self._silence()
        self._arm()


_PASSED = {
    "first_byte": "The provider did not begin to answer in time (upstream.first_byte).",
    "idle": "The provider stopped sending in the middle of the answer (upstream.idle).",
    "total": "The answer took longer than the gateway allows (upstream.total).",
}


def time_limit_passed(name: str) -> UpstreamFault:
    """The 504 of a named time limit. Only a late first byte may be tried again elsewhere."""
    return UpstreamFault(_PASSED[name], status=504, retryable=name == "first_byte", code=f"upstream_{name}_timeout")
