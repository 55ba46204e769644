"""The requests of a batch, each checked as the call of its endpoint that it would be, and written as its provider reads
it.

A request takes its own road, as one that is explained does (`explaining`): its route's dialect, the chain of plugins,
the provider's `prepare`. Where bytes would leave the gateway they become a line of the file that is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gateway.batch_object import NewBatch
from gateway.batches import Allowance
from gateway.call import Call, Caller, Target
from gateway.costs import run_by_provider
from gateway.dialect import InboundCall, InboundDialect
from gateway.errors import CallerFault, Fault
from gateway.explanation import Explanation
from gateway.http import web
from gateway.http.calls.explaining import ExplainedContext, ModelRoutes, inner_context
from gateway.http.calls.model_calls import open_call
from gateway.http.calls.tools import plan_tools
from gateway.http.server.request_context import RequestContext
from gateway.responses.dialect import ResponsesCall
from gateway.runner.lifecycle import CallRunner
from gateway.wire.batches import ENDPOINTS, BatchLine, line_fault, write_line
from gateway.wire.spend_tags import spend_tags

_AT_ONCE = 8
"""Lines that are checked before other requests have their turn."""
_NOT_IN_BATCH = ("stream", "background", "conversation")


async def check_lines(
    context: RequestContext,
    routes: ModelRoutes,
    caller: Caller,
    asked: Mapping[str, Any],
    lines: Sequence[BatchLine],
    allowance: Allowance,
) -> NewBatch:
    """The batch of these requests. asked: the members of the request for it. allowance: what they may cost. Raises the
    Fault of the first line that would be refused as a call, with its number, and Refusal(402)."""
    endpoint: str = asked["endpoint"]
    inner, dialect = await _open_route(context, routes, endpoint)
    tags = context.runtime.config.usage
    checker = _Checker(inner, dialect, caller, endpoint)
    for place, line in enumerate(lines):
        if place % _AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            await checker.add(line)
        except Fault as fault:
            raise line_fault(line.number, fault) from None
        allowance.check(checker.bound)
    target = checker.target
    assert target is not None, "there is at least one line"
    if context.call is not None:
        for path in checker.dropped:
            context.call.progress.dropped.append(path)
    return NewBatch(
        asked=asked, requests=b"".join(checker.written), count=len(lines), model=checker.model, target=target,
        operation=checker.operation, dialect=checker.dialect, url=endpoint, bound=checker.bound,
        dearest=checker.dearest, tags=spend_tags(asked, user=tags.tag_user, names=tags.tag_metadata),
    )  # fmt: skip


class _Asked:
    """Stands in for whoever would answer a call, to learn its dialect."""

    def __init__(self) -> None:
        self.dialect: InboundDialect | None = None

    async def serve(self, context: RequestContext, dialect: InboundDialect) -> web.StreamResponse:
        self.dialect = dialect
        return web.Response()


async def _open_route(
    context: RequestContext, routes: ModelRoutes, endpoint: str
) -> tuple[ExplainedContext, InboundDialect]:
    handler, template, values = routes.find_call(endpoint)
    asked = _Asked()
    inner = inner_context(context, template, values, asked)
    inner.given = {name.lower(): value for name, value in context.request.headers.items()}
    await handler(inner)
    assert asked.dialect is not None, "an endpoint of batches takes model calls"
    return inner, asked.dialect


class _Checker:
    """Checks the lines of one batch. written: what is sent of them; bound, dearest: credits that all of
    them, and one of them, can cost at most."""

    def __init__(self, inner: ExplainedContext, dialect: InboundDialect, caller: Caller, endpoint: str) -> None:
        self.written: list[bytes] = []
        self.bound = self.dearest = 0
        self.dropped: list[str] = []
        self.target: Target | None = None
        self.model = ""
        self.operation = ""
        self.dialect = "chat"
        self._inner = inner
        self._spoken = dialect
        self._caller = caller
        self._endpoint = endpoint

    async def add(self, line: BatchLine) -> None:
        """Check a request, and write it. Raises Fault."""
        for name in _NOT_IN_BATCH:
            if line.body.get(name):
                raise CallerFault(f"{name}: not in a batch; leave it out.", code="unsupported_parameter", param=name)
        inner, runtime = self._inner, self._inner.runtime
        call = inner.new_call(self._spoken)
        call.id = f"{inner.id}-{line.number}"
        call.size = line.size
        call.explanation = Explanation(in_batch=True)
        runner = runtime.runner(call)
        runner.speak_for(self._caller)
        if self._endpoint == "/v1/responses":
            line.body["store"] = False  # nobody could ask for it: it is made elsewhere
        inbound = await runner.open(lambda: self._read(runner, line))
        if await runner.guard(plan_tools(inner, call, inbound)) is not None:
            raise _own_tools()
        await runner.admit()
        if isinstance(inbound, ResponsesCall) and inbound.plan is not None:
            raise _own_tools()
        if call.answer_filters:
            raise CallerFault(
                "answers of this model are changed by a policy of this gateway, which sees none of a batch; send "
                "single requests.",
                code="unsupported_in_batch",
            )
        target = call.targets[0]
        requests = await runner.guard(runner.preview(None, target))
        provider = runtime.batches.provider(target.provider)
        if len(requests) != 1:
            raise CallerFault("n: this model gives one choice for each request of a batch.", param="n")
        if (url := provider.batch_url(requests[0])) != self._endpoint:
            fix = url if url in ENDPOINTS else "another endpoint"
            raise CallerFault(
                f"model: at its provider, '{call.model}' is asked in another way than by {self._endpoint}; use {fix}.",
                param="model",
                code="unsupported_operation",
            )
        if call.operation == "chat" and (path := run_by_provider(orjson.loads(requests[0].body), target)):
            raise CallerFault(
                f"{path}: what the provider would read and do for this is not known before, and a batch is paid for "
                "before; send single requests.",
                param=path,
                code="unsupported_in_batch",
            )
        self.written.append(write_line(line.custom_id, self._endpoint, requests[0].body))
        bound = _bound(call.explanation)
        self.bound += bound
        self.dearest = max(self.dearest, bound)
        self.dropped += call.dropped
        self.operation = call.operation
        self.dialect = "responses" if self._endpoint == "/v1/responses" else call.dialect
        await runner.dismiss()

    async def _read(self, runner: CallRunner, line: BatchLine) -> InboundCall:
        inbound = await open_call(self._inner, self._spoken, runner, line.body)
        self._choose(runner.call)
        return inbound

    def _choose(self, call: Call) -> None:
        """All requests of a batch go to one model at one provider, at its price for batches."""
        if self.target is None:
            offers = self._inner.runtime.batches.providers
            found = next((target for target in call.candidates if target.provider in offers), None)
            if found is None:
                raise CallerFault(
                    f"model: '{call.model}' is not offered in batches; they go to models of {', '.join(offers)}.",
                    param="model",
                    code="unsupported_operation",
                )
            price = None if found.price is None else found.price.in_batch()
            self.model, self.target = call.model, replace(found, price=price)
        elif call.model != self.model:
            raise CallerFault(
                f"model: all requests of a batch name the same; the first names '{self.model}'.", param="model"
            )
        call.candidates = (self.target,)


def _bound(explanation: Explanation) -> int:
    return sum(int(step.figures.get("wanted", 0)) for step in explanation.steps if step.phase == "admit_call")


def _own_tools() -> CallerFault:
    return CallerFault(
        "tools: this gateway runs a tool that is asked for itself, which it does for single requests only; leave it "
        "out.",
        param="tools",
        code="unsupported_tool",
    )
