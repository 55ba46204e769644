"""One model call over HTTP, in any dialect: read, admit, answer whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.call import Call
from gateway.dialect import InboundCall, InboundDialect, StatefulInboundCall, Watch, keep_alive_of
from gateway.errors import Fault
from gateway.http.calls.background import begin_in_background, bug
from gateway.http.server.request_context import RequestContext
from gateway.runner.lifecycle import CallRunner
from gateway.upstream.stream_pump import StreamPump


async def serve_call(context: RequestContext, dialect: InboundDialect) -> web.StreamResponse:
    """Answer one call. Faults before the answer begins are raised."""
    call = new_call(context, dialect)
    runner = context.begin(call)
    kept: StatefulInboundCall | None = None
    try:
        await runner.identify()
        inbound = await read_call(context, call, dialect)
        if isinstance(inbound, StatefulInboundCall):
            kept = inbound
            runner.keep = kept.keep_left
            await kept.prepare()
        await runner.admit()
        if kept is None or not kept.background:
            if call.stream:
                return await _stream(context, runner, inbound, kept)
            answer = inbound.whole(await runner.whole())
            if kept is not None:
                await kept.keep()
            return context.json(answer)
        job = begin_in_background(context, runner, kept, watch_of(context, call))
    except Fault as fault:
        await runner.fail(fault)
        _abandon(kept)
        raise
    except asyncio.CancelledError:
        interruption = context.was_interrupted()
        if interruption is None:
            runner.caller_left()
            raise
        await runner.fail(interruption)
        _abandon(kept)
        raise interruption from None
    except Exception as error:  # a bug, ours or a plugin's: what was reserved for the call is released all the same
        await runner.fail(bug(error))
        _abandon(kept)
        raise
    return await job.answer(context)


def _abandon(kept: StatefulInboundCall | None) -> None:
    if kept is not None:
        kept.abandon()


def new_call(context: RequestContext, dialect: InboundDialect | None = None) -> Call:
    """See `RequestContext.new_call`."""
    return context.new_call(dialect)


async def read_call(context: RequestContext, call: Call, dialect: InboundDialect) -> InboundCall:
    """Read the body into the call, and find what its model may lead to. Raises CallerFault."""
    runtime = context.runtime
    inbound = dialect.open(call, await context.read_json(), context.values)
    resolution = runtime.catalog.resolve(call.model or None)
    call.model = resolution.model
    call.candidates = resolution.candidates
    return inbound


async def _stream(
    context: RequestContext, runner: CallRunner, inbound: InboundCall, kept: StatefulInboundCall | None
) -> web.StreamResponse:
    pump: StreamPump | None = None

    def flow(on: bool) -> None:
        if pump is not None:
            pump.flow(on)

    outlet = context.open_outlet(flow)

    async def keep_alive() -> None:
        await outlet.begin()
        outlet.write(keep_alive_of(context.dialect))

    watch = watch_of(context, runner.call)
    if kept is not None:
        kept.run(None)
    try:
        quiet = context.runtime.config.server.keep_alive
        pump = await runner.stream(lambda: inbound.relay(watch), quiet, keep_alive)
        await outlet.begin()
        pump.attach(outlet)
        while not pump.ended:
            await pump.wait()
        if pump.fault is not None:
            raise pump.fault
        if kept is None:
            outlet.write_last(await runner.finish_stream(pump))
        else:
            outlet.write_last(await _finish_kept(context, runner, kept, pump))
        return await outlet.end(runner.remaining())
    except Fault as error:
        fault = error
    except asyncio.CancelledError:
        interruption = context.was_interrupted() if outlet.begun else None
        if interruption is None:
            raise
        fault = interruption
    except Exception as error:  # a bug, ours or a plugin's; in a stream that has begun it must be told in the stream
        if not outlet.begun:
            raise
        fault = bug(error)
    if not outlet.begun:
        raise fault
    await runner.fail(fault)
    # An error inside a stream that has begun: never a clean end.
    relay = inbound.relay(None) if pump is None else pump.relay
    last = relay.fail(fault, context.id)
    if kept is not None:
        await asyncio.shield(context.gateway.spawn(kept.keep(), f"keep {context.id}"))
    outlet.write_last(last, fault)
    return await outlet.end(0)


async def _finish_kept(
    context: RequestContext, runner: CallRunner, kept: StatefulInboundCall, pump: StreamPump
) -> bytes:
    """`finish_stream`, and write the answer down; in a task of the process, because a caller who leaves at this moment
    has paid for it."""
    last = b""

    async def finish() -> None:
        nonlocal last
        last = await runner.finish_stream(pump)
        await kept.keep()

    task = context.gateway.spawn(finish(), f"keep {context.id}")
    runner.detach(task)
    await asyncio.shield(task)
    return last


def watch_of(context: RequestContext, call: Call) -> Watch | None:
    """What shows every chunk of this call's stream to the plugins that watch; None when none does."""
    watchers = context.runtime.pipeline.watchers
    if not watchers:
        return None

    def watch(event: Mapping[str, Any]) -> None:
        for watcher in watchers:
            watcher(call, event)

    return watch
