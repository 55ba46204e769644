"""The end of a call: the bill is counted, and `finish_call` runs, exactly once, in a task that the process owns."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from gateway.call import Call, Outcome
from gateway.dialect import StatefulInboundCall
from gateway.errors import GatewayFault
from gateway.pipeline import Pipeline
from gateway.runner.rounds import Host, Rounds

CLIENT_LEFT = 499
"""Status in logs and usage rows of a call whose caller disconnected before the end."""


class Ending:
    """How one call ends.

    identified: somebody is known to be billed; without, there is nothing to finish.
    stateful: the conversation that remembers the answer, None for a call without one.
    first_byte: when the answer began, in monotonic seconds.
    outcome: how the call ended, None until then.
    completing: the task that bills and keeps a whole answer.
    finishing: the task of `finish_call`.
    """

    __slots__ = (
        "_call",
        "_host",
        "_log",
        "_pipeline",
        "_rounds",
        "_shown",
        "_unsettled",
        "completing",
        "finishing",
        "first_byte",
        "identified",
        "outcome",
        "stateful",
    )

    def __init__(self, call: Call, host: Host, pipeline: Pipeline, rounds: Rounds, log: logging.Logger) -> None:
        self.identified = False
        self.stateful: StatefulInboundCall | None = None
        self.first_byte: float | None = None
        self.outcome: Outcome | None = None
        self.completing: asyncio.Task[None] | None = None
        self.finishing: asyncio.Task[None] | None = None
        self._call = call
        self._host = host
        self._pipeline = pipeline
        self._rounds = rounds
        self._shown: Mapping[str, Any] = {}
        self._unsettled: GatewayFault | None = None
        self._log = log

    @property
    def begun(self) -> bool:
        """The end has come; what happens to the caller now changes nothing any more."""
        return self.finishing is not None or self.completing is not None

    @property
    def shown(self) -> dict[str, Any]:
        """The usage that was billed, with its cost; empty while nothing was."""
        shown, cost = self._shown, self._call.progress.cost
        return {**shown} if cost is None or not shown else {**shown, "cost": cost}

    def answer_begins(self) -> None:
        """The first byte of the answer is there."""
        if self.first_byte is None:
            self.first_byte = time.monotonic()

    async def complete(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Bill a whole answer (`work`), and write it down when it is to be remembered: then in a task of the process,
        because a caller who leaves at this moment has paid for it."""
        stateful = self.stateful
        if stateful is None:
            await work()
            return

        async def complete_and_keep() -> None:
            await work()
            await stateful.keep()

        self.completing = self._host.spawn(complete_and_keep(), f"complete {self._call.id}")
        await asyncio.shield(self.completing)

    async def finish(
        self, status: int, *, fault_code: str = "", finish_reason: str = "", client_left: bool = False
    ) -> None:
        """`begin`, and wait until it is done. The wait may be cancelled; the finish phase is not."""
        self.begin(status, fault_code=fault_code, finish_reason=finish_reason, client_left=client_left)
        if self.finishing is not None:
            await _over(self.finishing)

    def begin(self, status: int, *, fault_code: str = "", finish_reason: str = "", client_left: bool = False) -> None:
        """Count the bill and start the finish phase. Several ends may come together (an error while the caller
        leaves): the first counts."""
        if self.outcome is not None:
            return
        now = time.monotonic()
        call, bill = self._call, self._rounds.bill(abandoned=client_left)
        self._shown = bill.shown
        progress = call.progress
        self.outcome = Outcome(
            status=status,
            usage=bill.usage,
            basis=bill.basis,
            target=progress.target,
            fault_code=fault_code,
            finish_reason=finish_reason,
            first_byte=None if self.first_byte is None else self.first_byte - call.started,
            total=now - call.started,
            attempts=progress.attempts,
            client_left=client_left,
            rounds=bill.rounds,
            fees=progress.fees,
        )
        if self.identified:
            work = self._finish(call, self.outcome)
            if client_left and self.stateful is not None:
                work = self._and_keep(work, self.stateful)
            self.finishing = self._host.spawn(work, f"finish {call.id}")

    async def _finish(self, call: Call, outcome: Outcome) -> None:
        unfinished = await self._pipeline.finish(call, outcome)
        if unfinished is not None:
            self._unsettled = unfinished.fault
            self._host.ground.keep(unfinished, self._log)

    def check_settled(self) -> None:
        """Raise GatewayFault when the bill could not be written: an answer does not end well before it is."""
        if self._unsettled is not None:
            raise GatewayFault(
                "The answer is complete, but its bill cannot be written just now; it will be as soon as it can.",
                status=503,
                code="billing_unavailable",
                retry_after=2.0,
                detail=self._unsettled.detail,
            )

    def leave(self) -> None:
        """`begin`, for a caller who left."""
        self.begin(CLIENT_LEFT, fault_code="client_disconnected", client_left=True)

    async def _and_keep(self, work: Coroutine[Any, Any, None], stateful: StatefulInboundCall) -> None:
        await work
        last = self._rounds.last
        found = None if last is None else last.answer if last.pump is None else last.pump.relay
        await stateful.keep_left(found, self._rounds.whole, self.shown)


async def _over(task: asyncio.Task[None]) -> None:
    """Wait for a task that is not cancelled with whoever waits: `asyncio.shield` in half the steps, which every request
    takes."""
    if not task.done():
        waiter = asyncio.get_running_loop().create_future()

        def wake(_: asyncio.Task[None]) -> None:
            if not waiter.done():
                waiter.set_result(None)

        task.add_done_callback(wake)
        await waiter
    task.result()
