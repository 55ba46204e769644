"""Calls that go on without their caller: `background: true` of the Responses API."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from gateway.dialect import StatefulInboundCall, Watch
from gateway.errors import Fault, GatewayFault
from gateway.http.server.request_context import RequestContext
from gateway.http.streaming.following import stream_out
from gateway.responses.dialect import ResponsesCall
from gateway.responses.running import CANCELLED
from gateway.runner.lifecycle import CallRunner


class Job:
    """One background response, from its admission to its bill."""

    def __init__(self, runner: CallRunner, inbound: ResponsesCall, watch: Watch | None) -> None:
        self._queued: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._conductor = runner
        self._inbound = inbound
        self._watch = watch
        self._task: asyncio.Task[None] | None = None
        self._stopping: Fault | None = None
        self._started = self._whole = False

    def begin(self, context: RequestContext) -> None:
        """Let it run: from now on the caller may leave."""
        self._inbound.run(self.stop)
        self._task = context.gateway.spawn(self._run(), f"background {self._inbound.id}")
        self._conductor.detach(self._task)

    def stop(self, fault: Fault) -> None:
        """End it with `fault`, unless its answer is whole already."""
        if self._stopping is None and not self._whole:
            self._stopping = fault
            # A task that is cancelled before its first step does nothing at all; it looks by itself.
            if self._started and self._task is not None:
                self._task.cancel()

    async def answer(self, context: RequestContext) -> web.StreamResponse:
        """What the caller gets as soon as it is written down: the queued object, or the stream. Raises Fault."""
        queued = await asyncio.shield(self._queued)
        if not self._inbound.wants_stream:
            return context.json(queued)
        quiet = context.runtime.config.server.keep_alive
        return await stream_out(context, self._inbound.tape.follow(-1, quiet))

    async def _run(self) -> None:
        runner, inbound = self._conductor, self._inbound
        fault: Fault | None = None
        try:
            self._started = True
            if self._stopping is not None:
                raise self._stopping
            self._queued.set_result(await inbound.begin_background())
            pump = await runner.stream(lambda: inbound.relay(self._watch), 0.0, _nothing)
            pump.detach()  # what goes out is on the tape
            while not pump.ended:
                await pump.wait()
            if pump.fault is not None:
                raise pump.fault
            self._whole = True
            await runner.finish_stream(pump)
        except Fault as error:
            fault = error
        except asyncio.CancelledError:
            if self._stopping is None or self._task is None:
                raise
            self._task.uncancel()
            fault = self._stopping
        except Exception as error:  # a bug, ours or a plugin's: it is billed, told to whoever follows, and written down
            fault = bug(error)
        if fault is not None:
            await runner.fail(fault)
            if not self._queued.done():
                # It could not even be written down, and there may be a caller who waits to be told.
                self._queued.set_exception(fault)
                self._queued.exception()
            if fault is CANCELLED:
                inbound.stop(runner.shown)
            else:
                inbound.fail(fault)
        await inbound.keep(events=inbound.taped())


def begin_in_background(
    context: RequestContext, runner: CallRunner, inbound: StatefulInboundCall, watch: Watch | None
) -> Job:
    """Let an admitted call go on without its caller."""
    if not isinstance(inbound, ResponsesCall):
        raise GatewayFault("This dialect has no background calls.")
    job = Job(runner, inbound, watch)
    job.begin(context)
    return job


def bug(error: Exception) -> GatewayFault:
    """A failure of our own or of a plugin; its trace goes to the log."""
    fault = GatewayFault("The gateway failed to handle this request.", detail=repr(error))
    fault.__cause__ = error
    return fault


async def _nothing() -> None:
    return None
