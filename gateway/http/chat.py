"""POST /chat/completions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.call import Call
from gateway.conduct import Conductor
from gateway.errors import Fault
from gateway.http.context import Visit
from gateway.http.intake import bearer, read_body, remote_address
from gateway.http.outlet import SseOutlet
from gateway.upstream.sinks import KEEP_ALIVE, StreamPump
from gateway.wire.body import parse_json
from gateway.wire.chat import validate_chat
from gateway.wire.faults import stream_error_event
from gateway.wire.relay import ChatRelay

_NOT_FOR_PLUGINS = frozenset({"authorization", "cookie", "proxy-authorization"})


async def chat_completions(visit: Visit) -> web.StreamResponse:
    """Answer one chat completion, whole or streamed. Faults before the answer begins are raised."""
    call = new_call(visit)
    conductor = visit.begin(call)
    try:
        await conductor.identify()
        await _read_call(visit, call)
        await conductor.admit()
        if call.stream:
            return await _stream(visit, call, conductor)
        return visit.json(await conductor.whole())
    except Fault as fault:
        await conductor.fail(fault)
        raise
    except asyncio.CancelledError:
        interruption = visit.was_interrupted()
        if interruption is None:
            conductor.caller_left()
            raise
        await conductor.fail(interruption)
        raise interruption from None


def new_call(visit: Visit) -> Call:
    """The call of a request whose body is not read yet."""
    request = visit.request
    return Call(
        id=visit.id,
        route=visit.template,
        dialect="chat",
        body={},
        model="",
        stream=False,
        headers={
            name.lower(): value for name, value in request.headers.items() if name.lower() not in _NOT_FOR_PLUGINS
        },
        authorization=bearer(request),
        remote=remote_address(request, visit.runtime.config.server.trusted_proxies),
        started=visit.started,
        created=int(time.time()),
        strict=visit.runtime.config.strict,
    )


async def _read_call(visit: Visit, call: Call) -> None:
    runtime = visit.runtime
    raw = await read_body(visit.request, runtime.body_limits)
    body = parse_json(raw, max_depth=runtime.config.server.json_depth)
    validate_chat(body, allow_missing_model=True)
    resolution = runtime.catalog.resolve(body.get("model"))
    call.body = body
    call.model = resolution.model
    call.candidates = resolution.candidates
    call.stream = body.get("stream") is True


async def _stream(visit: Visit, call: Call, conductor: Conductor) -> web.StreamResponse:
    pump: StreamPump | None = None

    def flow(on: bool) -> None:
        if pump is not None:
            pump.flow(on)

    outlet = SseOutlet(visit.request, visit.headers, flow)

    async def keep_alive() -> None:
        await outlet.begin()
        outlet.write(KEEP_ALIVE)

    try:
        quiet = visit.runtime.config.server.keep_alive
        pump = await conductor.stream(lambda: _relay(visit, call), quiet, keep_alive)
        await outlet.begin()
        pump.attach(outlet)
        while not pump.ended:
            await pump.wait()
        if pump.fault is not None:
            raise pump.fault
        outlet.write(await conductor.finish_stream(pump))
    except Fault as fault:
        if not outlet.begun:
            raise
        await conductor.fail(fault)
        _write_fault(visit, outlet, pump, fault)
    except asyncio.CancelledError:
        interruption = visit.was_interrupted()
        if interruption is None or not outlet.begun:
            raise
        await conductor.fail(interruption)
        _write_fault(visit, outlet, pump, interruption)
    return await outlet.end()


def _write_fault(visit: Visit, outlet: SseOutlet, pump: StreamPump | None, fault: Fault) -> None:
    """An error inside a stream that has begun: what was received, then the error, and no [DONE]."""
    received = b""
    if pump is not None:
        received = pump.relay.abandon()
        pump.close()
    outlet.write(received + stream_error_event(fault, visit.id))


def _relay(visit: Visit, call: Call) -> ChatRelay:
    options = call.body.get("stream_options") or {}
    watchers = visit.runtime.pipeline.watchers
    watch = None
    if watchers:

        def watch(event: Mapping[str, Any]) -> None:
            for watcher in watchers:
                watcher(call, event)

    return ChatRelay(call.model, options.get("include_usage") is True, call.body.get("n") or 1, watch)
