"""Work on big inputs beside the event loop, so that nobody else waits for it.

Reading, checking, counting and translating a request takes time by its size: microseconds for most, a second for
twenty megabytes of the worst kind. What is small is done at once, since a hop to a thread would cost more. The rest has
two lanes of one thread each, because threads share one interpreter and more of them would only slow the loop down: a
short one, so that a coding agent's request never waits behind somebody's twenty megabytes, and a long one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from gateway.errors import GatewayFault

P = ParamSpec("P")
T = TypeVar("T")

SMALL = 64 * 1024
"""Bytes of input that are worked on at once, on the loop: a few milliseconds at the very worst."""
SHORT = 1024 * 1024
"""Bytes of input whose work is done on the short lane."""
PATIENCE = 60.0
"""Seconds that work may take, the wait for its turn included."""


class Aside:
    """The two lanes of one process. patience: seconds that work may take, the wait for its turn included.

    done: how many pieces of work were done on a lane so far.
    """

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self.done = 0
        self._patience = patience
        self._short = ThreadPoolExecutor(1, "gateway-short")
        self._long = ThreadPoolExecutor(1, "gateway-long")

    async def __call__(self, size: int, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What `work(*given, **named)` returns or raises. size: bytes of the input that its time goes by.

        `work` must be bounded by its input: a thread cannot be stopped. Raises GatewayFault 503 when it, or the queue
        before it, took too long.
        """
        if size <= SMALL:
            return work(*given, **named)
        lane = self._short if size <= SHORT else self._long
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(self._patience)
        try:
            async with limit:
                found = await loop.run_in_executor(lane, lambda: work(*given, **named))
        except TimeoutError:
            if not limit.expired():
                raise
            raise GatewayFault(
                "The gateway is busy with other large requests; try again in a moment.",
                status=503,
                type="overloaded",
                code="overloaded",
                retry_after=5.0,
            ) from None
        self.done += 1
        return found

    def close(self) -> None:
        """Take no more work. Does not wait for what runs."""
        for lane in (self._short, self._long):
            lane.shutdown(wait=False, cancel_futures=True)
