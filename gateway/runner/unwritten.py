"""Ends of calls that could not be written, above all bills: kept, and tried again until they are."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from gateway.pipeline import Unfinished

PAUSE = 1.0
"""Seconds between two tries."""


class Unwritten:
    """What waits to be written in one process. pause: seconds between two tries."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._waiting: deque[Unfinished] = deque()
        self._task: asyncio.Task[None] | None = None
        self._pause = pause

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, unfinished: Unfinished, log: logging.Logger) -> None:
        """Keep the end of a call, and try again until it is written."""
        self._waiting.append(unfinished)
        log.error(
            "the end of a call could not be written, and is kept: %s",
            unfinished.fault.message,
            extra={"request_id": unfinished.call.id, "detail": unfinished.fault.detail},
        )
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._try_again(log), name="unwritten")

    async def stop(self, seconds: float, log: logging.Logger) -> None:
        """The process ends: try for so long, then say what is lost but for this line."""
        if self._task is not None and not self._task.done():
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(self._task)
            except TimeoutError:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        for one in self._waiting:
            log.critical(
                "the end of a call is not written: its hold is resolved at the next start",
                extra={"request_id": one.call.id, "charge": one.outcome.charge, "basis": one.outcome.basis},
            )

    async def _try_again(self, log: logging.Logger) -> None:
        while self._waiting:
            await asyncio.sleep(self._pause)
            written = 0
            # In order, and not beyond the first that fails: what is away for one is away for all.
            while self._waiting and await self._waiting[0].again():
                self._waiting.popleft()
                written += 1
            if written:
                log.warning("wrote the ends of %d calls that waited; %d still wait", written, len(self._waiting))
