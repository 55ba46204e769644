"""The tools that the gateway runs, joined to one call over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

from gateway.call import Call, Target
from gateway.deferred import later
from gateway.dialect import InboundCall, StatefulInboundCall
from gateway.http.server.request_context import RequestContext
from gateway.runner.lifecycle import CallRunner
from gateway.runner.sink import Sink

if TYPE_CHECKING:
    from gateway.responses.dialect import ResponsesCall
    from gateway.servertools.choose import Abilities, plan_hub
    from gateway.servertools.loop import ToolLoop
    from gateway.servertools.offer import ToolPlan
else:
    Abilities = later("gateway.servertools.choose:Abilities")
    plan_hub = later("gateway.servertools.choose:plan_hub")
    ToolLoop = later("gateway.servertools.loop:ToolLoop")


def may_want_tools(call: Call, inbound: InboundCall) -> bool:
    """Whether `plan_tools` has anything to look at: most calls name no tool."""
    body = call.body
    asks = bool(body.get("tools")) or body.get("web_search_options") is not None
    return asks and call.operation == "chat" and not isinstance(inbound, StatefulInboundCall)


async def plan_tools(context: RequestContext, call: Call, inbound: InboundCall) -> ToolPlan | None:
    """Which of the hosted tools in the hub body the gateway runs; they are taken out of it. A request to the Responses
    API plans for itself, when what stands before it is known. Raises CallerFault."""
    if not may_want_tools(call, inbound):
        return None
    runtime = context.runtime

    def abilities(target: Target) -> Abilities:
        spoken = target.profile.dialects
        if any(dialect in spoken for dialect in call.forms if dialect != "chat"):
            return Abilities("yes", all=True)  # it gets the tools as its caller wrote them, in its own dialect
        return Abilities(target.profile.web_search)

    plan = await context.aside(plan_hub, runtime.toolbox, call, abilities)
    if plan is not None and context.dialect is not None and context.dialect.name != "chat":
        plan.results = True  # for dialects whose answers show what was found
    return plan


def answer_with_tools(
    context: RequestContext, runner: CallRunner, inbound: InboundCall, sink: Sink, plan: ToolPlan | None
) -> Awaitable[None]:
    """Answer an admitted call, by a loop of rounds when it asks for tools that the gateway runs. Awaited, raises the
    Fault of an answer that has not begun."""
    loop = tool_loop(context, runner, inbound, plan)
    return runner.answer(inbound, sink) if loop is None else _answer_by(loop, context, runner, sink)


async def _answer_by(loop: ToolLoop, context: RequestContext, runner: CallRunner, sink: Sink) -> None:
    try:
        await runner.answer(loop.wrap(), sink, loop.next_body, loop.begin)
    finally:
        # In a task of the process: sessions with servers are ended also for a caller who left.
        await asyncio.shield(context.gateway.spawn(loop.close(), f"tools {runner.call.id}"))


def tool_loop(
    context: RequestContext, runner: CallRunner, inbound: InboundCall, plan: ToolPlan | None
) -> ToolLoop | None:
    """The loop that an admitted call takes, None when it asks for no tool that the gateway runs. To be closed."""
    items: list[dict[str, object]] = []
    by_item = False
    if isinstance(inbound, StatefulInboundCall):  # the Responses API's, which plans for itself
        own = cast("ResponsesCall", inbound)
        plan, items, by_item = own.plan, own.loop_items, True
    if plan is None:
        return None
    return ToolLoop(
        context.runtime.toolbox,
        runner.call,
        plan,
        inbound,
        lambda call, credits: runner.admit_fees(credits),
        context.gateway.log,
        by_item=by_item,
        items=items,
    )
