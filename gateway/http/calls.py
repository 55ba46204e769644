"""One model call over HTTP, in any dialect: read, admit, answer whole or streamed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.call import Call
from gateway.conduct import Conductor
from gateway.dialect import Conversation, InboundDialect, Watch, bearer
from gateway.errors import Fault, GatewayFault
from gateway.http.context import Visit
from gateway.http.intake import remote_address
from gateway.http.outlet import SseOutlet
from gateway.upstream.sinks import KEEP_ALIVE, StreamPump

_NOT_FOR_PLUGINS = frozenset({"authorization", "cookie", "proxy-authorization"})


async def serve_call(visit: Visit, dialect: InboundDialect) -> web.StreamResponse:
    """Answer one call. Faults before the answer begins are raised."""
    call = new_call(visit, dialect)
    conductor = visit.begin(call)
    try:
        await conductor.identify()
        conversation = await _read(visit, call, dialect)
        await conductor.admit()
        if call.stream:
            return await _stream(visit, conductor, conversation)
        return visit.json(conversation.whole(await conductor.whole()))
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
    except Exception as error:  # a bug, ours or a plugin's: what was reserved for the call is released all the same
        await conductor.fail(_bug(error))
        raise


def new_call(visit: Visit, dialect: InboundDialect | None = None) -> Call:
    """The call of a request whose body is not read yet. dialect: None for a request that calls no model."""
    headers = {name.lower(): value for name, value in visit.request.headers.items()}
    visit.dialect = dialect
    return Call(
        id=visit.id,
        route=visit.template,
        dialect="chat",
        body={},
        model="",
        stream=False,
        headers={name: value for name, value in headers.items() if name not in _NOT_FOR_PLUGINS},
        authorization=bearer(headers) if dialect is None else dialect.credential(headers, visit.request.query),
        remote=remote_address(visit.request, visit.runtime.config.server.trusted_proxies),
        started=visit.started,
        created=int(time.time()),
        strict=visit.runtime.config.strict or headers.get("x-gateway-strict", "").lower() in ("1", "true"),
    )


async def _read(visit: Visit, call: Call, dialect: InboundDialect) -> Conversation:
    runtime = visit.runtime
    conversation = dialect.open(call, await visit.read_json(), visit.values)
    resolution = runtime.catalog.resolve(call.model or None)
    call.model = resolution.model
    call.candidates = resolution.candidates
    return conversation


async def _stream(visit: Visit, conductor: Conductor, conversation: Conversation) -> web.StreamResponse:
    pump: StreamPump | None = None

    def flow(on: bool) -> None:
        if pump is not None:
            pump.flow(on)

    outlet = SseOutlet(visit.request, visit.headers, flow)

    async def keep_alive() -> None:
        await outlet.begin()
        outlet.write(KEEP_ALIVE)

    watch = _watch(visit, conductor.call)
    try:
        quiet = visit.runtime.config.server.keep_alive
        pump = await conductor.stream(lambda: conversation.relay(watch), quiet, keep_alive)
        await outlet.begin()
        pump.attach(outlet)
        while not pump.ended:
            await pump.wait()
        if pump.fault is not None:
            raise pump.fault
        outlet.write(await conductor.finish_stream(pump))
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
        fault = _bug(error)
    if not outlet.begun:
        raise fault
    await conductor.fail(fault)
    # An error inside a stream that has begun: never a clean end.
    relay = conversation.relay(None) if pump is None else pump.relay
    outlet.write(relay.fail(fault, visit.id))
    return await outlet.end(0)


def _bug(error: Exception) -> GatewayFault:
    """A failure of our own or of a plugin; its trace goes to the log."""
    fault = GatewayFault("The gateway failed to handle this request.", detail=repr(error))
    fault.__cause__ = error
    return fault


def _watch(visit: Visit, call: Call) -> Watch | None:
    watchers = visit.runtime.pipeline.watchers
    if not watchers:
        return None

    def watch(event: Mapping[str, Any]) -> None:
        for watcher in watchers:
            watcher(call, event)

    return watch
