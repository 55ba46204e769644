"""Which target of a call is tried next, over which endpoint of its provider, and when.

Again at the same place: what failed at once and may be well in a moment, as long as nobody else can answer. Elsewhere:
what took its time to fail (a time limit), what asked to be left alone for a while, and what cools by then. When all
targets cool, the one that is the least bad is tried, once, rather than none.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from gateway.call import Call, Target
from gateway.errors import UpstreamFault
from gateway.fetch import CallMedia
from gateway.upstream.lanes import Lane, Lanes
from gateway.upstream.timeouts import Limits

# They have cost the caller their whole time already; the same again would cost it once more.
_TOOK_ITS_TIME = frozenset({"upstream_first_byte_timeout", "upstream_connect_timeout", "upstream_total_timeout"})

_HAIR = 0.001
"""Seconds. A loop's clock may count milliseconds: who sleeps until a sum of such times may wake a rounding too early,
and find that the target still rests."""


@dataclass(slots=True, frozen=True)
class RetryPolicy:
    """retries: further tries per target. backoff: seconds before the first of them, doubled each time with jitter,
    at most max_backoff."""

    retries: int
    backoff: float
    max_backoff: float


class Plan:
    """Where a call goes, one attempt after the other.

    target, lane: of the attempt that is due. media: what was fetched for the call so far. clock: the loop's.
    last_resort: nothing that is left is well, and the attempt that is due is the last.
    """

    def __init__(self, call: Call, lanes: Lanes, policy: RetryPolicy, deadline: float) -> None:
        self.deadline = deadline
        self.media: CallMedia | None = None
        self._policy = policy
        self._lanes = lanes
        self._tries = 0
        self._call = call
        self._reported = len(call.dropped)
        self._spent: list[Lane] = []
        self.last_resort = False
        self.clock = asyncio.get_running_loop().time
        self._targets = call.targets
        found = self._next(self.clock())
        assert found is not None, "a call has targets, and a target's provider has an endpoint"
        self.target, self.lane = found

    def limits(self) -> tuple[Limits, float]:
        """The limits at the target, and when an attempt that begins now must be over."""
        limits = self._lanes.of(self.target)[1]
        return limits, min(self.deadline, self.clock() + limits.total)

    async def ready(self) -> None:
        """To be awaited before a last resort: wait, when the target that is left asked for a short time of rest."""
        if self.lane.asked_to_rest():
            rest = self.lane.rests_until() - self.clock()
            if 0 < rest <= self._policy.max_backoff and self.clock() + rest < self.deadline:
                await asyncio.sleep(rest + _HAIR)

    async def advance(self, fault: UpstreamFault) -> None:
        """Wait, or move on to another endpoint or target. Raises `fault` when nothing is left to try."""
        self._call.progress.refused = self._call.attempts
        # What the failed target could not carry says nothing about the next one.
        del self._call.dropped[self._reported :]
        now = self.clock()
        delay = self._pause(fault, now)
        if delay is not None:
            self._tries += 1
            await asyncio.sleep(delay + _HAIR)
            # Meanwhile others may have learnt that it does not answer.
            if self.lane.usable(self.clock()):
                return
        self._spent.append(self.lane)
        found = self._next(self.clock()) if self.clock() < self.deadline else None
        if found is None:
            raise fault
        if found[0] is not self.target:
            self._tries = 0
        self.target, self.lane = found

    def _pause(self, fault: UpstreamFault, now: float) -> float | None:
        """Seconds after which the same lane is tried again, None when it is not."""
        policy = self._policy
        again = fault.retryable and self._tries < policy.retries and fault.code not in _TOOK_ITS_TIME
        if not again or self.last_resort:
            return None
        told = fault.retry_after or 0.0
        spent = [*self._spent, self.lane]
        if self._lanes.choose(self.target, now, spent) is not None:
            return None  # another endpoint of the same provider
        if told and any(self._lanes.choose(target, now, spent) for target in self._targets):
            return None
        if not told and not self.lane.usable(now):
            return None
        # Full jitter on the upper half spreads callers that failed together.
        delay = min(policy.backoff * 2**self._tries, policy.max_backoff) * random.uniform(0.5, 1.0)
        delay = max(delay, told)
        return delay if delay <= policy.max_backoff and now + delay < self.deadline else None

    def _next(self, now: float) -> tuple[Target, Lane] | None:
        for target in self._targets:
            lane = self._lanes.choose(target, now, self._spent)
            if lane is not None:
                return target, lane
        if self.last_resort:
            return None
        found = self._lanes.least_bad(self._targets, self._spent)
        self.last_resort = found is not None
        return found
