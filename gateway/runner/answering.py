"""An admitted call is answered: its rounds run, and what they bring goes into a sink."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from gateway.dialect import InboundCall, RawAnswer, Relay, Watch
from gateway.errors import Fault
from gateway.profile import Dialect
from gateway.runner.ending import Ending
from gateway.runner.rounds import Host, Round, Rounds
from gateway.runner.sink import EventStream, Flow, Sink
from gateway.upstream.stream_pump import StreamPump

NextBody = Callable[[Round], Awaitable[dict[str, Any] | None]]
"""Told what a round brought; the body of a further round, or None when that was the answer."""


FirstBody = Callable[[EventStream | None, Flow], Awaitable[dict[str, Any]]]
"""Told where the stream goes (None for a whole answer), and what to `begin` it with should something be told before the
first round; the body of that round."""


class Answering:
    """Makes one answer.

    request_id: of the call. watch: shown every chunk of a stream, None for nobody. next_body: asked after each
    round for the body of a further one; None for a call of one round. first_body: asked for the body of the first one;
    None for the call's own.
    """

    __slots__ = (
        "_ending",
        "_first_body",
        "_inbound",
        "_last",
        "_next_body",
        "_request_id",
        "_rounds",
        "_sink",
        "_watch",
    )

    def __init__(
        self,
        inbound: InboundCall,
        sink: Sink,
        rounds: Rounds,
        ending: Ending,
        *,
        request_id: str,
        watch: Watch | None,
        next_body: NextBody | None,
        first_body: FirstBody | None = None,
    ) -> None:
        self._inbound = inbound
        self._sink = sink
        self._rounds = rounds
        self._ending = ending
        self._request_id = request_id
        self._watch = watch
        self._next_body = next_body
        self._first_body = first_body
        self._last = b""

    async def whole(self) -> None:
        """Give a whole answer, billed, with the caller's model id and usage in it. Raises Fault."""
        body = await self._ask_for_first(None)
        found = await self._rounds.ask(body)
        while (body := await self._ask_for_more(found)) is not None:
            found = await self._rounds.ask(body)
        came = found.answer
        assert came is not None
        ending = self._ending
        answer: dict[str, Any] | RawAnswer = {}
        ending.answer_begins()

        async def complete() -> None:
            nonlocal answer
            await ending.finish(200, finish_reason=came.finish_reason)
            ending.check_settled()
            came.usage = ending.shown
            answer = self._inbound.whole(came)

        await ending.complete(complete)
        await self._sink.give(answer)

    async def stream(self, caller_is_there: Callable[[], bool]) -> None:
        """Give a stream; its closing bytes when it is billed. Raises Fault.

        caller_is_there: False when the rest is received for nobody.
        """
        rounds, sink, ending = self._rounds, self._sink, self._ending
        stateful = ending.stateful
        if stateful is not None and stateful.background:
            # What its caller gets is that it runs; nobody waits for the first byte.
            await sink.begin(rounds.flow)

        body = await self._ask_for_first(sink)
        while True:
            found = await rounds.stream(body, self._relay, sink.quiet, partial(self._outlast, caller_is_there))
            pump = found.pump
            assert pump is not None
            ending.answer_begins()
            await sink.begin(rounds.flow)
            # From here on the transport's callback writes into the sink; this task only waits for the end.
            pump.attach(sink)
            while not pump.ended:
                await pump.wait()
            if pump.fault is not None:
                raise pump.fault
            rounds.ended_well()
            body = await self._ask_for_more(found)
            if body is None:
                break
        await ending.complete(partial(self._close, pump))
        await sink.end(self._last, None, rounds.remaining())

    async def _outlast(self, caller_is_there: Callable[[], bool]) -> None:
        """Nothing came for a while: tell the caller that it goes on."""
        if caller_is_there():
            await self._sink.begin(self._rounds.flow)
            self._sink.keep_alive()

    async def _close(self, pump: StreamPump) -> None:
        """Bill a stream, whose closing bytes are known then."""
        ending = self._ending
        await ending.finish(200, finish_reason=pump.tally.finish_reason)
        ending.check_settled()
        self._last = pump.relay.finish(ending.shown)

    async def tell(self, fault: Fault, host: Host) -> None:
        """An error inside a stream that has begun: never a clean end. The call is billed by now."""
        stateful = self._ending.stateful
        if stateful is not None:
            last = stateful.break_off(fault, self._ending.shown)
            # In a task of the process: what came of the answer is paid for and kept, should the caller leave now.
            await asyncio.shield(host.spawn(stateful.keep(), f"keep {self._request_id}"))
        else:
            found = self._rounds.last
            relay = self._inbound.relay(None) if found is None or found.pump is None else found.pump.relay
            last = relay.fail(fault, self._request_id)
        await self._sink.end(last, fault, 0)

    def _relay(self, dialect: Dialect) -> Relay:
        return self._inbound.relay(self._watch, dialect)

    async def _ask_for_first(self, sink: EventStream | None) -> dict[str, Any] | None:
        return None if self._first_body is None else await self._first_body(sink, self._rounds.flow)

    async def _ask_for_more(self, found: Round) -> dict[str, Any] | None:
        return None if self._next_body is None else await self._next_body(found)
