"""One model call over HTTP, in any dialect: read it, and let its runner answer into a sink."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.call import Call
from gateway.deferred import later
from gateway.dialect import (
    InboundCall,
    InboundDialect,
    RawAnswer,
    StatefulInboundCall,
    keep_alive_of,
    stream_type_of,
)
from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.calls.tools import answer_with_tools, may_want_tools, plan_tools
from gateway.http.server.request_context import RequestContext
from gateway.http.streaming.sse_response import SseResponse
from gateway.runner.lifecycle import CallRunner
from gateway.runner.sink import Sink
from gateway.wire.spend_tags import spend_tags
from gateway.wire.structure import refuse_other_spellings

if TYPE_CHECKING:
    from gateway.servertools.offer import ToolPlan

_answer_in_background: Callable[[RequestContext, CallRunner, StatefulInboundCall, Sink], Awaitable[None]] = later(
    "gateway.http.calls.background:answer_in_background"
)


class DirectAnswer(SseResponse):
    """The caller's own connection; implements `gateway.runner.sink.Sink`. No copy is kept of what goes there."""

    __slots__ = ("_context",)

    def __init__(self, context: RequestContext, inbound: InboundCall) -> None:
        quiet = context.runtime.config.server.keep_alive
        super().__init__(
            context.request,
            context.headers,
            quiet=quiet,
            sign_of_life=keep_alive_of(context.dialect),
            copy=context.copy_stream(),
            media_type=stream_type_of(inbound),
        )
        self._context = context

    async def give(self, answer: dict[str, Any] | RawAnswer) -> None:
        """A whole answer is sent by the server when the handler returns it."""
        self._response = self._context.whole(answer)


async def serve_call(context: RequestContext, dialect: InboundDialect) -> web.StreamResponse:
    """Answer one call on its own connection. Faults before the answer begins are raised."""
    runner = context.begin(context.new_call(dialect))
    inbound = await runner.open(partial(read_call, context, dialect, runner))
    answer = DirectAnswer(context, inbound)
    # Not by `answer_call`: one coroutine less lives as long as a stream does.
    plan = await _admit(context, runner, inbound)
    await _give(context, runner, inbound, answer, plan)
    return answer.response


async def read_call(context: RequestContext, dialect: InboundDialect, runner: CallRunner) -> InboundCall:
    """Read the body into the call, and find what its model may lead to. Raises CallerFault."""
    return await open_call(context, dialect, runner, await context.read_body_for(dialect))


async def open_call(
    context: RequestContext, dialect: InboundDialect, runner: CallRunner, body: dict[str, Any]
) -> InboundCall:
    """`read_call` with a body that was read already."""
    call = runner.call
    tags = context.runtime.config.usage
    # Of the caller's own words, before the dialect takes them apart.
    call.tags = spend_tags(body, user=tags.tag_user, names=tags.tag_metadata)
    try:
        inbound = await context.aside(_open, dialect, call, body, context.values)
    except CallerFault as fault:
        if fault.status == 400:
            (await context.runtime.doors.all()).point(fault, dialect, body)
        raise
    context.resolve(call)
    return inbound


def _open(dialect: InboundDialect, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> InboundCall:
    refuse_other_spellings(body)
    return dialect.open(call, body, values)


async def answer_call(context: RequestContext, runner: CallRunner, inbound: InboundCall, sink: Sink) -> None:
    """Admit a call that was read, and answer it into `sink`. Raises the Fault of an answer that has not begun."""
    plan = await _admit(context, runner, inbound)
    await _give(context, runner, inbound, sink, plan)


async def _admit(context: RequestContext, runner: CallRunner, inbound: InboundCall) -> ToolPlan | None:
    """Admit a call; which tools the gateway runs for it. Raises Fault."""
    plan = None
    if may_want_tools(runner.call, inbound):
        plan = await runner.guard(plan_tools(context, runner.call, inbound))
    await runner.admit()
    return plan


def _give(
    context: RequestContext, runner: CallRunner, inbound: InboundCall, sink: Sink, plan: ToolPlan | None
) -> Awaitable[None]:
    if isinstance(inbound, StatefulInboundCall) and inbound.background:
        return _answer_in_background(context, runner, inbound, sink)
    return answer_with_tools(context, runner, inbound, sink, plan)
