"""POST /explain: what would happen to a model call, in any dialect, without making it.

The request that is asked about takes its own road: its route and handler, its dialect, the chain of plugins, and the
provider's `prepare`. Only where bytes would leave the gateway they are shown instead, and policies that would reserve
something say what (`Call.explanation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from gateway.call import Call
from gateway.dialect import InboundCall, InboundDialect
from gateway.errors import CallerFault, Fault
from gateway.explanation import Explanation
from gateway.http import web
from gateway.http.api.form import find_caller, throttle
from gateway.http.calls.explained import describe, describe_request, describe_target
from gateway.http.calls.model_calls import open_call
from gateway.http.calls.tools import plan_tools, tool_loop
from gateway.http.server.request_context import NOT_FOR_PLUGINS, CallServer, RequestContext
from gateway.http.server.router import Handler
from gateway.runner.lifecycle import CallRunner
from gateway.servertools.offer import ToolPlan

_MEMBERS = ("path", "body", "headers")
_LIMIT, _WINDOW = 60, 60.0


class ModelRoutes(Protocol):
    """The routes of a gateway, as far as they take model calls."""

    def find_call(self, raw_path: str) -> tuple[Handler, str, dict[str, str]]:
        """The handler, template and places of a route that takes model calls. Raises CallerFault."""


@dataclass(slots=True, eq=False)
class ExplainedContext(RequestContext):
    """The request that is asked about, as its own handler sees it.

    body, given, asked: its body, its headers (lower-case names), and the parameters of its address.
    found: what became of it, once its handler has run.
    """

    body: dict[str, Any] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    found: dict[str, Any] | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of its address, decoded."""
        return self.asked

    def header(self, name: str) -> str | None:
        """A header of it, by its name in any case; None when it is not there."""
        return self.given.get(name.lower())

    async def read_json(self) -> dict[str, Any]:
        """Its body."""
        return self.body

    def new_call(self, dialect: InboundDialect | None = None) -> Call:
        """The call that would be made of it, by the caller who asks."""
        call = RequestContext.new_call(self, dialect)
        call.headers = {name: value for name, value in self.given.items() if name not in NOT_FOR_PLUGINS}
        call.strict = self.runtime.config.strict or self.given.get("x-gateway-strict", "").lower() in ("1", "true")
        call.explanation = Explanation()
        return call


def inner_context(
    context: RequestContext, template: str, values: Mapping[str, str], server: CallServer
) -> ExplainedContext:
    """The context of a request within that of another. template, values: of its route. server: stands in for whatever
    would answer it."""
    return ExplainedContext(
        context.gateway,
        context.runtime,
        context.request,
        context.id,
        context.started,
        template=template,
        values=values,
        task=context.task,
        server=server,
    )


class Explainer:
    """The handler of `POST /explain`; its `serve` stands in for whatever would answer the call."""

    def __init__(self, routes: ModelRoutes) -> None:
        self._routes = routes

    async def __call__(self, context: RequestContext) -> web.StreamResponse:
        """`{"path", "body", "headers"}` to what would happen. Raises CallerFault, Refusal."""
        caller = await find_caller(context)
        await throttle(context, [(f"explain:{caller.account_id}", _LIMIT)], _WINDOW)
        path, body, headers = _read(await context.read_json())
        raw_path, _, query = path.partition("?")
        handler, template, values = self._routes.find_call(raw_path)
        inner = inner_context(context, template, values, self)
        inner.body, inner.given = body, headers
        inner.asked = dict(parse_qsl(query, keep_blank_values=True))
        try:
            await handler(inner)
        except Fault as fault:
            if inner.call is None or inner.call.explanation is None:
                # Refused before it became a call, by the route itself.
                return context.json(describe(inner, None, refused=fault))
            return context.json(describe(inner, inner.call, refused=fault))
        if inner.found is None:
            raise CallerFault(f"path: {raw_path[:200]!r} makes no model call, so there is nothing to explain.")
        return context.json(inner.found)

    async def serve(self, context: RequestContext, dialect: InboundDialect) -> web.StreamResponse:
        """Take the call through the chain up to where it would be sent, and describe that. Raises Fault."""
        assert isinstance(context, ExplainedContext)
        call = context.new_call(dialect)
        runner = context.begin(call)

        async def read() -> InboundCall:
            return await open_call(context, dialect, runner, await context.read_body_for(dialect))

        inbound = await runner.open(read)
        plan = await runner.guard(plan_tools(context, call, inbound))
        await runner.admit()
        context.found = await runner.guard(_foresee(context, runner, inbound, plan))
        await runner.dismiss()
        return context.json(None)


async def _foresee(
    context: ExplainedContext, runner: CallRunner, inbound: InboundCall, plan: ToolPlan | None
) -> dict[str, Any]:
    call = runner.call
    first: dict[str, Any] | None = None
    loop = tool_loop(context, runner, inbound, plan)
    if loop is not None:
        # The lists of MCP servers are theirs to give: nobody is asked here, and the request is shown without them.
        first = await loop.begin(None, _nobody) if not loop.servers else call.body
        await loop.close()
    reported = len(call.dropped)
    targets = []
    for target in call.targets:
        requests, fault = [], None
        try:
            requests = await runner.preview(first, target)
        except Fault as error:
            fault = error
        mask = context.gateway.mask
        shown = [describe_request(request, mask) for request in requests]
        targets.append(describe_target(call, target, shown, fault, rests=runner.rests(target)))
        # As before an attempt at the next target: what this one cannot carry says nothing about it.
        del call.dropped[reported:]
    found = describe(context, call, refused=None)
    found["targets"] = targets
    if loop is not None:
        found["tools"] = loop.describe()
    return found


def _nobody(on: bool) -> None:
    """Nothing streams here, so nothing is paused."""


def _read(asked: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, str]]:
    """The three members of the request, checked."""
    for name in asked:
        if name not in _MEMBERS:
            raise CallerFault(f"{name[:100]}: unknown member; known are {', '.join(_MEMBERS)}.", param=name[:100])
    path, body, headers = asked.get("path", "/v1/chat/completions"), asked.get("body"), asked.get("headers") or {}
    if not isinstance(path, str) or not path.startswith("/"):
        raise CallerFault("path: expected where the request would be sent, such as /v1/messages.", param="path")
    if not isinstance(body, dict):
        raise CallerFault("body: expected the JSON object that would be sent.", param="body")
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise CallerFault("headers: expected an object of texts.", param="headers")
    return path, body, {name.lower(): value for name, value in headers.items()}
