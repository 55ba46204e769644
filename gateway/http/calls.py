"""One model call over HTTP, in any dialect: read, admit, answer whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.call import Call
from gateway.conduct import Conductor
from gateway.dialect import Conversation, InboundDialect, StatefulConversation, Watch, keep_alive_of
from gateway.errors import Fault
from gateway.http.background import begin_in_background, bug
from gateway.http.context import Visit
from gateway.upstream.sinks import StreamPump


async def serve_call(visit: Visit, dialect: InboundDialect) -> web.StreamResponse:
    """Answer one call. Faults before the answer begins are raised."""
    call = new_call(visit, dialect)
    conductor = visit.begin(call)
    kept: StatefulConversation | None = None
    try:
        await conductor.identify()
        conversation = await read_call(visit, call, dialect)
        if isinstance(conversation, StatefulConversation):
            kept = conversation
            conductor.keep = kept.keep_left
            await kept.prepare()
        await conductor.admit()
        if kept is None or not kept.background:
            if call.stream:
                return await _stream(visit, conductor, conversation, kept)
            answer = conversation.whole(await conductor.whole())
            if kept is not None:
                await kept.keep()
            return visit.json(answer)
        job = begin_in_background(visit, conductor, kept, watch_of(visit, call))
    except Fault as fault:
        await conductor.fail(fault)
        _abandon(kept)
        raise
    except asyncio.CancelledError:
        interruption = visit.was_interrupted()
        if interruption is None:
            conductor.caller_left()
            raise
        await conductor.fail(interruption)
        _abandon(kept)
        raise interruption from None
    except Exception as error:  # a bug, ours or a plugin's: what was reserved for the call is released all the same
        await conductor.fail(bug(error))
        _abandon(kept)
        raise
    return await job.answer(visit)


def _abandon(kept: StatefulConversation | None) -> None:
    if kept is not None:
        kept.abandon()


def new_call(visit: Visit, dialect: InboundDialect | None = None) -> Call:
    """See `Visit.new_call`."""
    return visit.new_call(dialect)


async def read_call(visit: Visit, call: Call, dialect: InboundDialect) -> Conversation:
    """Read the body into the call, and find what its model may lead to. Raises CallerFault."""
    runtime = visit.runtime
    conversation = dialect.open(call, await visit.read_json(), visit.values)
    resolution = runtime.catalog.resolve(call.model or None)
    call.model = resolution.model
    call.candidates = resolution.candidates
    return conversation


async def _stream(
    visit: Visit, conductor: Conductor, conversation: Conversation, kept: StatefulConversation | None
) -> web.StreamResponse:
    pump: StreamPump | None = None

    def flow(on: bool) -> None:
        if pump is not None:
            pump.flow(on)

    outlet = visit.open_outlet(flow)

    async def keep_alive() -> None:
        await outlet.begin()
        outlet.write(keep_alive_of(visit.dialect))

    watch = watch_of(visit, conductor.call)
    if kept is not None:
        kept.run(None)
    try:
        quiet = visit.runtime.config.server.keep_alive
        pump = await conductor.stream(lambda: conversation.relay(watch), quiet, keep_alive)
        await outlet.begin()
        pump.attach(outlet)
        while not pump.ended:
            await pump.wait()
        if pump.fault is not None:
            raise pump.fault
        if kept is None:
            outlet.write_last(await conductor.finish_stream(pump))
        else:
            outlet.write_last(await _finish_kept(visit, conductor, kept, pump))
        return await outlet.end(conductor.remaining())
    except Fault as error:
        fault = error
    except asyncio.CancelledError:
        interruption = visit.was_interrupted() if outlet.begun else None
        if interruption is None:
            raise
        fault = interruption
    except Exception as error:  # a bug, ours or a plugin's; in a stream that has begun it must be told in the stream
        if not outlet.begun:
            raise
        fault = bug(error)
    if not outlet.begun:
        raise fault
    await conductor.fail(fault)
    # An error inside a stream that has begun: never a clean end.
    relay = conversation.relay(None) if pump is None else pump.relay
    last = relay.fail(fault, visit.id)
    if kept is not None:
        await asyncio.shield(visit.gateway.spawn(kept.keep(), f"keep {visit.id}"))
    outlet.write_last(last, fault)
    return await outlet.end(0)


async def _finish_kept(visit: Visit, conductor: Conductor, kept: StatefulConversation, pump: StreamPump) -> bytes:
    """`finish_stream`, and write the answer down; in a task of the process, because a caller who leaves at this moment
    has paid for it."""
    last = b""

    async def finish() -> None:
        nonlocal last
        last = await conductor.finish_stream(pump)
        await kept.keep()

    task = visit.gateway.spawn(finish(), f"keep {visit.id}")
    conductor.detach(task)
    await asyncio.shield(task)
    return last


def watch_of(visit: Visit, call: Call) -> Watch | None:
    """What shows every chunk of this call's stream to the plugins that watch; None when none does."""
    watchers = visit.runtime.pipeline.watchers
    if not watchers:
        return None

    def watch(event: Mapping[str, Any]) -> None:
        for watcher in watchers:
            watcher(call, event)

    return watch
