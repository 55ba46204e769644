"""What goes on after the caller left: an upstream that is billed anyway is read to its end, bounded in time.

Providers differ. Where leaving ends the work upstream (policy `cancel`), the connection is closed at once and what came
is billed. Where the work goes on and is paid for all the same (policy `drain`), the answer is received to its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.errors import Fault
from gateway.runner.rounds import Host, Rounds


class Drain:
    """Receives the rest of one call's answer for nobody. limit: seconds that it may take."""

    __slots__ = ("_host", "_limit", "_log", "_rounds", "_scope", "task")

    def __init__(self, rounds: Rounds, host: Host, log: logging.Logger, limit: float) -> None:
        self.task: asyncio.Task[None] | None = None
        self._rounds = rounds
        self._host = host
        self._log = log
        self._limit = limit
        self._scope: asyncio.Timeout | None = None

    @property
    def running(self) -> bool:
        """Whether an answer is received for a caller who left."""
        return self.task is not None and not self.task.done()

    def begin(self, request_id: str, then: Callable[[], None]) -> None:
        """Go on in a task of the process. then: called when it is over, however it ended."""
        self.task = self._host.spawn(self._run(request_id, then), f"drain {request_id}")

    def stop(self) -> None:
        """The process cannot wait for that any longer: what came is all."""
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def _run(self, request_id: str, then: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(self._limit) as self._scope:
                await self._rounds.receive_rest()
        except (TimeoutError, Fault) as error:
            self._log.info("drain ended early: %s", error, extra={"request_id": request_id})
        self._scope = None
        self._rounds.close()
        then()
