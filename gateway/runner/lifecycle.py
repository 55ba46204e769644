"""One call from its admission to its bill, whatever dialect or transport it came by.

`open` (identify, read), `admit` (prepare, authorize, admit, choose) and `answer` (rounds, bill) follow each other, each
in whichever task conducts the call by then: the handler of its request, or a task of the process (`detach`). Failures
are sorted in one place, `guard`, and every end leads to `Ending`, which is reached once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from gateway.call import Call, Caller, Outcome, Target
from gateway.dialect import InboundCall, StatefulInboundCall, Watch
from gateway.errors import Fault, GatewayFault
from gateway.pipeline import Pipeline
from gateway.provider import UpstreamRequest
from gateway.runner.answering import Answering, FirstBody, NextBody
from gateway.runner.body_watch import BodyWatch
from gateway.runner.drain import Drain
from gateway.runner.ending import Ending
from gateway.runner.rounds import Host, Rounds
from gateway.runner.sink import Sink
from gateway.upstream.attempts import Dispatcher

T = TypeVar("T")


class CallRunner:
    """Conducts one call. drain_limit: seconds that a call goes on upstream after its caller left (policy `drain`)."""

    __slots__ = (
        "_detached",
        "_drain",
        "_ending",
        "_host",
        "_interruption",
        "_log",
        "_pipeline",
        "_rounds",
        "_underway",
        "call",
        "known",
    )

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
        self._host = host
        self._pipeline = pipeline
        self._log = log
        self._rounds = Rounds(call, host, pipeline, dispatcher, log)
        self._ending = Ending(call, host, pipeline, self._rounds, log)
        self._drain = Drain(self._rounds, host, log, drain_limit)
        self._interruption: Fault | None = None
        # Tasks of the process that this call was detached into; the last of them conducts it instead of the handler.
        self._detached: list[asyncio.Task[None]] = []
        self._underway = False
        self.known: Callable[[], Awaitable[Caller]] | None = None
        """Finds the caller of a request without a key by what the door knows of it, such as a session; it raises
        Refusal. None where a credential must tell."""

    @property
    def outcome(self) -> Outcome | None:
        """How the call ended, None until then."""
        return self._ending.outcome

    # The phases.

    async def check_access(self) -> None:
        """Identify and authorize a request that calls no model (lists, usage). Raises Refusal."""
        if not self._ending.identified:
            await self.identify()
        await self._pipeline.authorize(self.call)

    async def identify(self, *, generates: bool = False) -> None:
        """Find the caller, and count the request. generates: it calls a model. Raises Refusal 401, 429."""
        if self.known is not None:
            self.call.caller = await self.known()
        else:
            await self._pipeline.identify(self.call)
        # Before there is anything to finish: what is refused here leaves no more than a line in the log.
        await self._pipeline.count(self.call, generates)
        self._ending.identified = True

    def speak_for(self, caller: Caller) -> None:
        """The caller is known, and its request was counted: of one call of many that came together."""
        self.call.caller = caller
        self._ending.identified = True

    async def open(self, read: Callable[[], Awaitable[InboundCall]]) -> InboundCall:
        """Find the caller, then read the request into the call. Raises Fault."""
        return await self.guard(self._open(read))

    async def _open(self, read: Callable[[], Awaitable[InboundCall]]) -> InboundCall:
        if not self._ending.identified:
            await self.identify(generates=True)
        inbound = await read()
        if isinstance(inbound, StatefulInboundCall):
            self._ending.stateful = inbound
        return inbound

    async def authorize(self) -> None:
        """May this caller see the answer of such a call, which somebody else makes? Raises Refusal."""
        await self.guard(self._pipeline.authorize(self.call))

    async def admit(self) -> None:
        """Prepare, authorize, reserve, choose targets. Raises the Refusal of whoever says no."""
        await self.guard(self._admit())

    async def _admit(self) -> None:
        self._host.ground.check()
        if self._ending.stateful is not None:
            # Before the plugins look: only now `call.body` is what will be sent.
            await self._ending.stateful.prepare()
        aside, size = self._host.aside, self.call.size
        # A call that has no other form needs no watch: there is nothing to become void.
        watch = await aside(size, BodyWatch, self.call) if self.call.forms else None
        await self._pipeline.authorize(self.call)
        await self._pipeline.admit(self.call)
        if watch is not None:
            await aside(size, watch.settle)
        await self._pipeline.choose(self.call)
        self._pipeline.set_filters(self.call)
        self.call.freeze()

    async def answer(
        self, inbound: InboundCall, sink: Sink, next_body: NextBody | None = None, first_body: FirstBody | None = None
    ) -> None:
        """Make the answer and give it to `sink`. Raises the Fault of an answer that has not begun; once it has, the
        fault is told in the stream.

        next_body: asked after each round for the body of a further one; None for a call of one round.
        first_body: asked for the body of the first one; None for the call's own.
        """
        call, stateful = self.call, self._ending.stateful
        answering = Answering(
            inbound,
            sink,
            self._rounds,
            self._ending,
            request_id=call.id,
            watch=self._watch() if call.stream else None,
            next_body=next_body,
            first_body=first_body,
        )
        if call.stream and stateful is not None:
            stateful.run(self._stop if stateful.background else None)
        try:
            await self.guard(answering.stream(self._caller_is_there) if call.stream else answering.whole())
        except Fault as fault:
            if not sink.begun:
                if stateful is not None:
                    stateful.abandon()
                raise
            await answering.tell(fault, self._host)

    def _caller_is_there(self) -> bool:
        return not self._drain.running

    def rests(self, target: Target) -> bool:
        """Whether a target is passed over just now, because it has failed."""
        return self._rounds.rests(target)

    async def preview(self, body: dict[str, Any] | None, target: Target) -> list[UpstreamRequest]:
        """What an admitted call that is explained would send to `target`. body: of the first round, None for the
        call's own. Raises Fault."""
        return await self._rounds.preview(body, target)

    async def dismiss(self) -> None:
        """The call was explained, and is over: the plugins let go of what they took for it."""
        if self._ending.stateful is not None:
            self._ending.stateful.abandon()
        await self._ending.finish(200)

    # Failures: the only place where they are sorted.

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a step of this call. Whatever it fails with, the call is billed for what was caused, and what is
        raised is a Fault, or CancelledError when the caller left."""
        if self._interruption is not None:
            work.close()
            await self.fail(self._interruption)
            raise self._interruption
        try:
            return await work
        except Fault as error:
            fault = error
        except asyncio.CancelledError:
            # Whoever conducts the call is cancelled for one of two reasons: the process (or the response's owner) ends
            # it with a fault, or the caller's connection is gone.
            task = asyncio.current_task()
            if self._interruption is None or task is None:
                if self._conducted_by(task):
                    self.caller_left()
                raise
            task.uncancel()
            fault = self._interruption
        except Exception as error:  # a bug, ours or a plugin's: it is billed and told like any failure of ours
            fault = bug(error)
        if self._conducted_by(asyncio.current_task()):
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
        if self._ending.completing is None:
            self.interrupt(fault)

    async def fail(self, fault: Fault) -> None:
        """The call ends with `fault`: bill what came of the answer, nothing otherwise."""
        # First of all no more may arrive: what comes after the bill was counted would be given away.
        self._rounds.close()
        if fault.status >= 500 and self._ending.outcome is None:
            is_bug = isinstance(fault, GatewayFault) and fault.__cause__ is not None
            facts = {"request_id": self.call.id, "detail": fault.detail, "code": fault.code}
            if self.call.progress.target is not None:
                facts["provider"] = self.call.progress.target.provider
            self._log.log(
                logging.ERROR if is_bug else logging.WARNING,
                "call failed: %s",
                fault,
                extra=facts,
                exc_info=fault if is_bug else None,
            )
        await self._ending.finish(fault.status, fault_code=fault.code or fault.type)

    def caller_left(self) -> None:
        """The caller disconnected: close the upstream at once or read on, as the provider's policy says, then bill.

        Returns immediately; the rest happens in a task of the process.
        """
        if self._ending.begun or self._drain.running:
            return
        if self._rounds.survives:
            self._drain.begin(self.call.id, self._ending.leave)
            return
        self._rounds.close()
        self._ending.leave()

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
        for task in (*self._detached, self._ending.completing, self._drain.task, self._ending.finishing):
            if task is not None and not task.done():
                return task
        return None

    async def admit_fees(self, credits: int) -> None:
        """May tools cost so many credits, all of the call's together? Raises Refusal."""
        await self._rounds.admit_fees(credits)

    def remaining(self) -> float:
        """Seconds until the call must be over (`upstream.total`), at least 0."""
        return self._rounds.remaining()

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
