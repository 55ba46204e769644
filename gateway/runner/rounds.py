"""The rounds of a call: each is one request to a model, dispatched over the chosen targets, with its part of the bill.

Most calls have one. A further round sends another body on behalf of the same call, into the same sink, within the same
time limit; its part of the hold is asked for before it goes out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gateway.aside import Aside
from gateway.call import Call, Target
from gateway.errors import Fault
from gateway.operations import OPERATIONS
from gateway.pipeline import Pipeline
from gateway.provider import Answer, Tally, UpstreamRequest
from gateway.runner.bill import (
    Bill,
    Measured,
    limit_output,
    measure_abandoned,
    measure_ended_stream,
    measure_failed,
    measure_stream,
    measure_whole,
    nothing,
    sum_up,
)
from gateway.runner.ground import Ground
from gateway.upstream.attempts import Dispatcher, MakeRelay
from gateway.upstream.metering import StreamMeter
from gateway.upstream.stream_pump import StreamPump

T = TypeVar("T")


class Host(Protocol):
    """What the runner needs of the process."""

    @property
    def aside(self) -> Aside: ...

    @property
    def ground(self) -> Ground: ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]: ...


@dataclass(slots=True, eq=False)
class Round:
    """One request to a model, and what came of it.

    sent: the call itself, or for a further round a copy of it with the body of that round.
    tally: of its stream, as far as that came. pump: the stream, once that began to answer.
    answer: its whole answer, once that is there.
    measured: its part of the bill; that of a stream is measured when the stream is over.
    """

    sent: Call
    tally: Tally | None = None
    pump: StreamPump | None = None
    answer: Answer | None = None
    measured: Measured = field(default_factory=nothing)

    @property
    def target(self) -> Target | None:
        """Who answered, or was tried last."""
        return self.sent.target


class Rounds:
    """Runs the rounds of one call, one after the other.

    whole: the last answer came to its end.
    """

    __slots__ = ("_call", "_deadline", "_dispatcher", "_host", "_log", "_pipeline", "_rounds", "_work", "whole")

    def __init__(
        self,
        call: Call,
        host: Host,
        pipeline: Pipeline,
        dispatcher: Dispatcher,
        log: logging.Logger,
    ) -> None:
        self._deadline = dispatcher.deadline()
        self.whole = False
        self._call = call
        self._host = host
        self._pipeline = pipeline
        self._dispatcher = dispatcher
        self._log = log
        self._rounds: list[Round] = []
        # The upstream work of a round that goes on although its caller leaves (policy `drain`).
        self._work: asyncio.Task[Any] | None = None

    def __iter__(self) -> Iterator[Round]:
        return iter(self._rounds)

    @property
    def last(self) -> Round | None:
        """The round that runs, or ran last."""
        return self._rounds[-1] if self._rounds else None

    @property
    def survives(self) -> bool:
        """The target that is being asked is read to the end although the caller left."""
        target = self.last.target if self.last is not None else None
        return self._work is not None and target is not None and self._drains(target)

    def remaining(self) -> float:
        """Seconds until the call must be over (`upstream.total`), at least 0."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def ask(self, body: dict[str, Any] | None) -> Round:
        """A round with a whole answer. body: of a further round, None for the call's own. Raises Fault."""
        found = await self._begin(body)
        try:
            await self._outliving(self._fetch(found))
        except Fault as fault:
            _measure_failure(found, fault)
            raise
        finally:
            self._note(found)
        return found

    def rests(self, target: Target) -> bool:
        """Whether a target is passed over just now, because it has failed."""
        return self._dispatcher.rests(target)

    async def preview(self, body: dict[str, Any] | None, target: Target) -> list[UpstreamRequest]:
        """What a round would send to `target`; body as for `ask`. Raises Fault."""
        sent = self._call
        if body is not None:
            sent = await self._further(body)
        return await self._dispatcher.preview(sent, target)

    async def stream(
        self,
        body: dict[str, Any] | None,
        make_relay: MakeRelay,
        quiet: float,
        on_silence: Callable[[], Awaitable[None]],
    ) -> Round:
        """A round whose stream has begun to answer; see `Dispatcher.stream`. Raises Fault when no target did."""
        found = await self._begin(body)
        try:
            await self._outliving(self._open(found, make_relay, quiet, on_silence))
        except Fault as fault:
            _measure_failure(found, fault)
            raise
        finally:
            self._note(found)
        if found.sent.covered is not None and found.pump is not None:
            meter = StreamMeter(found.sent, found.pump, self._pipeline.extend, self._host.spawn, self._log)
            found.pump.meter = meter
            meter.look()
        return found

    async def admit_fees(self, fees: int) -> None:
        """May tools cost so many credits, all of the call's together? Raises Refusal."""
        await self._pipeline.admit_fees(self._call, self.bill().rounds, fees)

    def flow(self, on: bool) -> None:
        """Pause and resume the upstream, as the sink fills and drains."""
        if self._rounds and (pump := self._rounds[-1].pump) is not None:
            pump.flow(on)

    def ended_well(self) -> None:
        """The stream of the last round came to a good end: measure it."""
        found = self._rounds[-1]
        assert found.pump is not None
        found.measured = measure_ended_stream(found.sent, found.pump.tally)
        if found.pump.overran:
            self._end_at_limit(found)

    def _end_at_limit(self, found: Round) -> None:
        """The answer was ended at its limit: that much is due, and the operator is told."""
        sent = found.sent
        assert sent.max_output is not None
        found.measured = limit_output(found.measured, sent.max_output * OPERATIONS[sent.operation].choices(sent.body))
        self._log.warning(
            "a provider went on beyond the output limit that it was given: its answer was ended there",
            extra={
                "request_id": self._call.id,
                "target": sent.target.model if sent.target is not None else "",
                "max_output": sent.max_output,
            },
        )

    def close(self) -> None:
        """No more may arrive: what comes after the bill was counted would be given away."""
        found = self.last
        if found is not None and found.pump is not None:
            found.pump.close()
        if self._work is not None:
            self._work.cancel()

    def bill(self, *, abandoned: bool = False) -> Bill:
        """What came so far, be it whole or not. abandoned: the caller left, and may not pay less than for staying."""
        found = self.last
        if found is not None and found.measured.basis == "void":
            tally = found.tally
            waits = found.sent.attempts > found.sent.progress.refused
            if abandoned and waits and found.answer is None and not self.whole:
                found.measured = measure_abandoned(found.sent, tally)
            elif tally is not None:
                found.measured = measure_stream(found.sent, tally)
        return sum_up([(found.sent, found.measured) for found in self._rounds])

    async def receive_rest(self) -> None:
        """The caller left: receive the rest of the last round for nobody. Raises Fault when it breaks off."""
        assert self._work is not None
        await self._work
        found = self._rounds[-1]
        if found.pump is not None:
            found.pump.detach()
            while not found.pump.ended:
                await found.pump.wait()
            if found.pump.fault is not None:
                raise found.pump.fault
        self._note(found)
        self.whole = True

    async def _begin(self, body: dict[str, Any] | None) -> Round:
        sent = self._call
        if body is not None:
            sent = await self._further(body)
        found = Round(sent)
        self._rounds.append(found)
        self.whole = False
        return found

    async def _further(self, body: dict[str, Any]) -> Call:
        # The body of a further round has one form only: what the caller asked in its own dialect is answered.
        # What was covered of the answer before says nothing about this one; whoever pays says it anew.
        sent = self._call.further_round(body)
        await self._pipeline.admit_round(sent, self.bill().rounds)
        sent.freeze()
        return sent

    async def _fetch(self, found: Round) -> None:
        found.answer = await self._dispatcher.whole(found.sent, self._deadline)
        found.measured = measure_whole(found.sent, found.answer)
        if found.answer.overran:
            self._end_at_limit(found)

    async def _open(
        self, found: Round, make_relay: MakeRelay, quiet: float, on_silence: Callable[[], Awaitable[None]]
    ) -> None:
        def take(tally: Tally) -> None:
            found.tally = tally

        found.pump = await self._dispatcher.stream(found.sent, self._deadline, make_relay, quiet, on_silence, take)

    async def _outliving(self, work: Coroutine[Any, Any, None]) -> None:
        """Await upstream work; where a provider's policy is to drain, in a task that outlives the caller."""
        for target in self._call.targets:
            if self._drains(target):
                break
        else:
            await work
            return
        # The caller's leaving cancels this handler, which must not take the upstream request with it.
        self._work = asyncio.get_running_loop().create_task(work)
        await asyncio.shield(self._work)

    def _drains(self, target: Target) -> bool:
        # What a model thinks unseen is known only at the end, and would be free to whoever leaves before.
        return target.profile.on_disconnect == "drain" or target.thinks

    def _note(self, found: Round) -> None:
        """The copy that a further round sent has learnt what the call must know."""
        if found.sent is not self._call:
            self._call.attempts, self._call.target = found.sent.attempts, found.sent.target


def _measure_failure(found: Round, fault: Fault) -> None:
    if fault.usage is not None:
        found.measured = measure_failed(found.sent, fault.usage)
