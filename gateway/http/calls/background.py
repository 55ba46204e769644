"""Calls that go on without their caller: `background: true` of the Responses API."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from gateway.dialect import RawAnswer, StatefulInboundCall
from gateway.errors import Fault, GatewayFault
from gateway.http.calls.tools import answer_with_tools
from gateway.http.server.request_context import RequestContext
from gateway.http.streaming.resuming import follow
from gateway.responses.dialect import ResponsesCall
from gateway.responses.running import RunningResponse
from gateway.runner.lifecycle import CallRunner
from gateway.runner.sink import Flow, Sink


class BackgroundAnswer:
    """Where a background response is answered to: nobody. Its relay writes the recording that callers follow, and
    `ResponsesCall.keep` the row in the store. Implements `gateway.runner.sink.Sink`.

    queued: resolves to the object for the caller as soon as it is written down, or fails with why it is not.
    """

    quiet = 0.0

    def __init__(self, inbound: ResponsesCall) -> None:
        self.begun = False
        self.queued: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._inbound = inbound

    async def begin(self, flow: Flow) -> None:
        """Write down that it runs. Nobody's reading can pause it, so `flow` is not used."""
        if not self.begun:
            # Before it is awaited: whatever happens while it is written, the row must not say for ever that it runs.
            self.begun = True
            queued = await self._inbound.begin_background()
            self.queued.set_result(queued)

    def write(self, data: bytes) -> None:
        """Nothing: it is in the recording already."""

    def keep_alive(self) -> None:
        """Nothing: who follows the recording is kept alive there."""

    async def give(self, answer: dict[str, Any] | RawAnswer) -> None:
        """Background responses are always streamed from upstream."""
        raise AssertionError("a background response is not answered whole")

    async def end(self, last: bytes, fault: Fault | None, seconds: float) -> None:
        """It is over; its caller, should one still wait to hear that it runs, is told the fault."""
        if fault is not None:
            self.fail(fault)

    def fail(self, fault: Fault) -> None:
        """Tell who waits for `queued`, unless that was told already."""
        if not self.queued.done():
            self.queued.set_exception(fault)
            self.queued.exception()  # taken note of: there may be nobody who waits


async def answer_in_background(
    context: RequestContext, runner: CallRunner, inbound: StatefulInboundCall, sink: Sink
) -> None:
    """Let an admitted call go on without its caller, who is given the queued object, or follows the stream. Raises the
    Fault of a call that could not be written down."""
    assert isinstance(inbound, ResponsesCall)  # nothing else goes on by itself
    background = BackgroundAnswer(inbound)

    async def run() -> None:
        try:
            await answer_with_tools(context, runner, inbound, background, None)
        except Fault as fault:
            background.fail(fault)
        finally:
            background.fail(GatewayFault("The gateway failed to start this response."))
            context.log_body("answer body", lambda: orjson.dumps(inbound.snapshot()))

    runner.detach(run(), f"background {inbound.id}")
    queued = await asyncio.shield(background.queued)
    if not inbound.wants_stream:
        await sink.give(queued)
        return
    running = RunningResponse(inbound.id, inbound.account_id, inbound.recording, inbound.snapshot)
    await follow(context, running, context.runtime.responses_services().store, sink)
