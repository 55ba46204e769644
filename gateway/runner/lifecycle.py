"""One call from its admission to its bill, whatever dialect or transport it came by.

`open` (identify, read), `admit` (prepare, authorize, admit, choose) and `answer` (rounds, bill) follow each other, each
in whichever task conducts the call by then: the handler of its request, or a task of the process (`detach`). Failures
are sorted in one place, `guard`. `finish_call` runs exactly once, in a task that the process owns: at the last byte, at
an error, or when the caller left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from gateway.call import BodyWatch, Call, Outcome
from gateway.dialect import InboundCall, StatefulInboundCall, Watch
from gateway.errors import Fault, GatewayFault
from gateway.pipeline import Pipeline
from gateway.runner.drain import Drain
from gateway.runner.rounds import Host, Round, Rounds
from gateway.runner.sink import Sink
from gateway.upstream.attempts import Dispatcher

CLIENT_LEFT = 499
"""Status in logs and usage rows of a call whose caller disconnected before the end."""

T = TypeVar("T")

NextBody = Callable[[Round], Awaitable[dict[str, Any] | None]]
"""Told what a round brought; the body of a further round, or None when that was the answer."""


class CallRunner:
    """Conducts one call. drain_limit: seconds that a call goes on upstream after its caller left (policy `drain`).

    outcome: how it ended, None until then.
    """

    def __init__(
        self,
        call: Call,
        host: Host,
        pipeline: Pipeline,
        dispatcher: Dispatcher,
        log: logging.Logger,
        drain_limit: float,
    ) -> None:
        self.call = call
        self.outcome: Outcome | None = None
        self._host = host
        self._pipeline = pipeline
        self._log = log
        self._rounds = Rounds(call, host, pipeline, dispatcher, log)
        self._drain = Drain(self._rounds, host, log, drain_limit)
        self._stateful: StatefulInboundCall | None = None
        self._first_byte: float | None = None
        self._shown: Mapping[str, Any] = {}
        self._identified = False
        self._interruption: Fault | None = None
        # Tasks of the process that this call may be in: those it was detached into, the last of which conducts it
        # instead of the handler; the one that bills and keeps a whole answer; the one of its `finish_call`.
        self._detached: list[asyncio.Task[None]] = []
        self._underway = False
        self._completing: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None

    # The phases.

    async def check_access(self) -> None:
        """Identify and authorize a request that calls no model (lists, usage). Raises Refusal."""
        if not self._identified:
            await self.identify()
        await self._pipeline.authorize(self.call)

    async def identify(self) -> None:
        """Find the caller. Raises Refusal(401)."""
        await self._pipeline.identify(self.call)
        self._identified = True

    async def open(self, read: Callable[[], Awaitable[InboundCall]]) -> InboundCall:
        """Find the caller, then read the request into the call. Raises Fault."""
        return await self.guard(self._open(read))

    async def _open(self, read: Callable[[], Awaitable[InboundCall]]) -> InboundCall:
        await self.identify()
        inbound = await read()
        if isinstance(inbound, StatefulInboundCall):
            self._stateful = inbound
        return inbound

    async def authorize(self) -> None:
        """May this caller see the answer of such a call, which somebody else makes? Raises Refusal."""
        await self.guard(self._pipeline.authorize(self.call))

    async def admit(self) -> None:
        """Prepare, authorize, reserve, choose targets. Raises the Refusal of whoever says no."""
        await self.guard(self._admit())

    async def _admit(self) -> None:
        if self._stateful is not None:
            # Before the plugins look: only now `call.body` is what will be sent.
            await self._stateful.prepare()
        watch = BodyWatch(self.call)
        await self._pipeline.authorize(self.call)
        await self._pipeline.admit(self.call)
        watch.settle()
        await self._pipeline.choose(self.call)
        self.call.freeze()

    async def answer(self, inbound: InboundCall, sink: Sink, next_body: NextBody | None = None) -> None:
        """Make the answer and give it to `sink`. Raises the Fault of an answer that has not begun; once it has, the
        fault is told in the stream.

        next_body: asked after each round for the body of a further one; None for a call of one round.
        """
        work = self._stream if self.call.stream else self._whole
        try:
            await self.guard(work(inbound, sink, next_body))
        except Fault as fault:
            if not sink.begun:
                if self._stateful is not None:
                    self._stateful.abandon()
                raise
            await self._tell(inbound, sink, fault)

    async def _whole(self, inbound: InboundCall, sink: Sink, next_body: NextBody | None) -> None:
        body: dict[str, Any] | None = None
        while True:
            found = await self._rounds.ask(body)
            body = await next_body(found) if next_body is not None else None
            if body is None:
                break
        came = found.answer
        assert came is not None
        self._first_byte = time.monotonic()
        answer: dict[str, Any] = {}

        async def complete() -> None:
            nonlocal answer
            await self._finish(200, finish_reason=came.finish_reason)
            came.usage = self.shown
            answer = inbound.whole(came)

        await self._complete(complete)
        await sink.give(answer)

    async def _stream(self, inbound: InboundCall, sink: Sink, next_body: NextBody | None) -> None:
        stateful, watch = self._stateful, self._watch()
        if stateful is not None:
            stateful.run(self._stop if stateful.background else None)
            if stateful.background:
                # What its caller gets is that it runs; nobody waits for the first byte.
                await sink.begin(self._rounds.flow)

        async def silence() -> None:
            if not self._drain.running:
                await sink.begin(self._rounds.flow)
                sink.keep_alive()

        body: dict[str, Any] | None = None
        while True:
            found = await self._rounds.stream(body, lambda dialect: inbound.relay(watch, dialect), sink.quiet, silence)
            pump = found.pump
            assert pump is not None
            if self._first_byte is None:
                self._first_byte = time.monotonic()
            await sink.begin(self._rounds.flow)
            pump.attach(sink)
            while not pump.ended:
                await pump.wait()
            if pump.fault is not None:
                raise pump.fault
            self._rounds.ended_well()
            body = await next_body(found) if next_body is not None else None
            if body is None:
                break
        relay, tally, last = pump.relay, pump.tally, b""

        async def complete() -> None:
            nonlocal last
            await self._finish(200, finish_reason=tally.finish_reason)
            last = relay.finish(self.shown)

        await self._complete(complete)
        await sink.end(last, None, self.remaining())

    async def _complete(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Bill a whole answer, and write it down when it is to be remembered: in a task of the process, because a
        caller who leaves at this moment has paid for it."""
        stateful = self._stateful
        if stateful is None:
            await work()
            return

        async def complete_and_keep() -> None:
            await work()
            await stateful.keep()

        self._completing = self._host.spawn(complete_and_keep(), f"complete {self.call.id}")
        await asyncio.shield(self._completing)

    async def _tell(self, inbound: InboundCall, sink: Sink, fault: Fault) -> None:
        """An error inside a stream that has begun: never a clean end. The call is billed by now."""
        if self._stateful is not None:
            last = self._stateful.break_off(fault, self.shown)
            # In a task of the process: what came of the answer is paid for and kept, should the caller leave now.
            await asyncio.shield(self._host.spawn(self._stateful.keep(), f"keep {self.call.id}"))
        else:
            found = self._rounds.last
            relay = found.pump.relay if found is not None and found.pump is not None else inbound.relay(None)
            last = relay.fail(fault, self.call.id)
        await sink.end(last, fault, 0)

    # Failures: the only place where they are sorted.

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a step of this call. Whatever it fails with, the call is billed for what was caused, and what is
        raised is a Fault, or CancelledError when the caller left."""
        if self._interruption is not None:
            work.close()
            await self.fail(self._interruption)
            raise self._interruption
        task = asyncio.current_task()
        try:
            return await work
        except Fault as error:
            fault = error
        except asyncio.CancelledError:
            # Whoever conducts the call is cancelled for one of two reasons: the process (or the response's owner) ends
            # it with a fault, or the caller's connection is gone.
            if self._interruption is None or task is None:
                if self._conducted_by(task):
                    self.caller_left()
                raise
            task.uncancel()
            fault = self._interruption
        except Exception as error:  # a bug, ours or a plugin's: it is billed and told like any failure of ours
            fault = bug(error)
        if self._conducted_by(task):
            await self.fail(fault)
        raise fault

    def _conducted_by(self, task: asyncio.Task[Any] | None) -> bool:
        """Who has detached the call only looks on: what happens to it there says nothing about the call."""
        return not self._detached or self._detached[-1] is task

    def interrupt(self, fault: Fault) -> None:
        """End the call with `fault`, wherever it is. To be followed by a cancellation of the handler, should that
        conduct the call."""
        if self._interruption is not None:
            return
        self._interruption = fault
        self._drain.stop()
        # A task that is cancelled before its first step does nothing at all, and nobody would bill the call; `guard`
        # looks by itself.
        if self._detached and self._underway:
            self._detached[-1].cancel()

    def _stop(self, fault: Fault) -> None:
        """A background response ends with `fault`, unless its answer is whole already."""
        if self._completing is None:
            self.interrupt(fault)

    async def fail(self, fault: Fault) -> None:
        """The call ends with `fault`: bill what came of the answer, nothing otherwise."""
        # First of all no more may arrive: what comes after the bill was counted would be given away.
        self._rounds.close()
        if fault.status >= 500 and self.outcome is None:
            is_bug = isinstance(fault, GatewayFault) and fault.__cause__ is not None
            self._log.log(
                logging.ERROR if is_bug else logging.WARNING,
                "call failed: %s",
                fault,
                extra={"request_id": self.call.id, "detail": fault.detail, "code": fault.code},
                exc_info=fault if is_bug else None,
            )
        await self._finish(fault.status, fault_code=fault.code or fault.type)

    def caller_left(self) -> None:
        """The caller disconnected: close the upstream at once or read on, as the provider's policy says, then bill.

        Returns immediately; the rest happens in a task of the process.
        """
        if self._finishing is not None or self._completing is not None:
            return

        async def finish() -> None:
            await self._finish(CLIENT_LEFT, fault_code="client_disconnected", client_left=True)

        if self._rounds.survives:
            self._drain.begin(self.call.id, finish)
            return
        self._rounds.close()
        self._begin_finish(CLIENT_LEFT, fault_code="client_disconnected", client_left=True)

    # What goes on without the caller.

    def detach(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """From now on `work`, in a task of the process, conducts this call: the caller may leave."""
        self._underway = False

        async def conduct() -> None:
            self._underway = True
            await work

        task = self._host.spawn(conduct(), name)
        self._detached.append(task)
        return task

    @property
    def unfinished(self) -> asyncio.Task[None] | None:
        """What still goes on for this call in a task of the process; None when its bill is written."""
        for task in (*self._detached, self._completing, self._drain.task, self._finishing):
            if task is not None and not task.done():
                return task
        return None

    # The bill.

    @property
    def shown(self) -> dict[str, Any]:
        """The usage that was billed, with its cost; empty while nothing was."""
        shown, cost = self._shown, self.call.cost
        return {**shown} if cost is None or not shown else {**shown, "cost": cost}

    def remaining(self) -> float:
        """Seconds until the call must be over (`upstream.total`), at least 0."""
        return max(0.0, self._rounds.deadline - asyncio.get_running_loop().time())

    async def _finish(
        self, status: int, *, fault_code: str = "", finish_reason: str = "", client_left: bool = False
    ) -> None:
        task = self._begin_finish(status, fault_code=fault_code, finish_reason=finish_reason, client_left=client_left)
        if task is not None:
            await asyncio.shield(task)

    def _begin_finish(
        self, status: int, *, fault_code: str = "", finish_reason: str = "", client_left: bool = False
    ) -> asyncio.Task[None] | None:
        """Count the bill and start the finish phase, unless that has begun; returns its task, None for a call nobody
        identified. Several ends may come together (an error while the caller leaves): the first counts."""
        if self._finishing is None and self.outcome is None:
            now = time.monotonic()
            call, bill = self.call, self._rounds.bill()
            self._shown = bill.shown
            self.outcome = Outcome(
                status=status,
                usage=bill.usage,
                basis=bill.basis,
                target=call.target,
                fault_code=fault_code,
                finish_reason=finish_reason,
                first_byte=None if self._first_byte is None else self._first_byte - call.started,
                total=now - call.started,
                attempts=call.attempts,
                client_left=client_left,
                rounds=bill.rounds,
            )
            if self._identified:
                work = self._pipeline.finish(call, self.outcome)
                if client_left and self._stateful is not None:
                    work = self._and_keep(work, self._stateful)
                self._finishing = self._host.spawn(work, f"finish {call.id}")
        return self._finishing

    async def _and_keep(self, work: Coroutine[Any, Any, None], stateful: StatefulInboundCall) -> None:
        await work
        last = self._rounds.last
        found = None if last is None else last.answer if last.pump is None else last.pump.relay
        await stateful.keep_left(found, self._rounds.whole, self.shown)

    def _watch(self) -> Watch | None:
        """What shows every chunk of this call's stream to the plugins that watch; None when none does."""
        call, watchers = self.call, self._pipeline.watchers
        if not watchers:
            return None

        def watch(event: Mapping[str, Any]) -> None:
            for watcher in watchers:
                watcher(call, event)

        return watch


def bug(error: Exception) -> GatewayFault:
    """A failure of our own or of a plugin; its trace goes to the log."""
    fault = GatewayFault("The gateway failed to handle this request.", detail=repr(error))
    fault.__cause__ = error
    return fault
