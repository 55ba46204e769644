"""Calls that go on without their caller: `background: true` of the Responses API."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from gateway.conduct import Conductor
from gateway.dialect import StatefulConversation, Watch
from gateway.errors import Fault, GatewayFault
from gateway.http.context import Visit
from gateway.http.following import stream_out
from gateway.responses.dialect import ResponsesConversation
from gateway.responses.live import CANCELLED


class Job:
    """One background response, from its admission to its bill."""

    def __init__(self, conductor: Conductor, conversation: ResponsesConversation, watch: Watch | None) -> None:
        self._queued: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._conductor = conductor
        self._conversation = conversation
        self._watch = watch
        self._task: asyncio.Task[None] | None = None
        self._stopping: Fault | None = None
        self._started = self._whole = False

    def begin(self, visit: Visit) -> None:
        """Let it run: from now on the caller may leave."""
        self._conversation.run(self.stop)
        self._task = visit.gateway.spawn(self._run(), f"background {self._conversation.id}")
        self._conductor.detach(self._task)

    def stop(self, fault: Fault) -> None:
        """End it with `fault`, unless its answer is whole already."""
        if self._stopping is None and not self._whole:
            self._stopping = fault
            # A task that is cancelled before its first step does nothing at all; it looks by itself.
            if self._started and self._task is not None:
                self._task.cancel()

    async def answer(self, visit: Visit) -> web.StreamResponse:
        """What the caller gets as soon as it is written down: the queued object, or the stream. Raises Fault."""
        queued = await asyncio.shield(self._queued)
        if not self._conversation.wants_stream:
            return visit.json(queued)
        quiet = visit.runtime.config.server.keep_alive
        return await stream_out(visit, self._conversation.tape.follow(-1, quiet))

    async def _run(self) -> None:
        conductor, conversation = self._conductor, self._conversation
        fault: Fault | None = None
        try:
            self._started = True
            if self._stopping is not None:
                raise self._stopping
            self._queued.set_result(await conversation.begin_background())
            pump = await conductor.stream(lambda: conversation.relay(self._watch), 0.0, _nothing)
            pump.detach()  # what goes out is on the tape
            while not pump.ended:
                await pump.wait()
            if pump.fault is not None:
                raise pump.fault
            self._whole = True
            await conductor.finish_stream(pump)
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
            await conductor.fail(fault)
            if not self._queued.done():
                # It could not even be written down, and there may be a caller who waits to be told.
                self._queued.set_exception(fault)
                self._queued.exception()
            if fault is CANCELLED:
                conversation.stop(conductor.shown)
            else:
                conversation.fail(fault)
        await conversation.keep(events=conversation.taped())


def begin_in_background(
    visit: Visit, conductor: Conductor, conversation: StatefulConversation, watch: Watch | None
) -> Job:
    """Let an admitted call go on without its caller."""
    if not isinstance(conversation, ResponsesConversation):
        raise GatewayFault("This dialect has no background calls.")
    job = Job(conductor, conversation, watch)
    job.begin(visit)
    return job


def bug(error: Exception) -> GatewayFault:
    """A failure of our own or of a plugin; its trace goes to the log."""
    fault = GatewayFault("The gateway failed to handle this request.", detail=repr(error))
    fault.__cause__ = error
    return fault


async def _nothing() -> None:
    return None
