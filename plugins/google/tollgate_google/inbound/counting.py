"""`models/{model}:countTokens`: how many input tokens a request would make. It calls no model and costs nothing.

Where the model's provider speaks Google's dialect it counts itself, exactly. Elsewhere, and where that fails, the
number is the gateway's estimate. The header `x-gateway-token-count` says which it is.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import orjson

from gateway.api import (
    Fault,
    RequestContext,
    Target,
    UpstreamFault,
    UpstreamReply,
    UpstreamRequest,
    as_dict,
    estimate_input_tokens,
)

from .dialect import GenerateDialect
from .notes import camel

SECONDS = 10.0
"""How long the provider may count before the estimate answers instead."""

MOST = 65_536
"""Bytes of the provider's answer."""


@runtime_checkable
class CountsContents(Protocol):
    """A provider whose upstream counts tokens in Google's dialect."""

    def build_contents_count(self, body: dict[str, Any], target: Target) -> UpstreamRequest: ...

    def read_fault(self, reply: UpstreamReply) -> Fault: ...


async def count_tokens(context: RequestContext) -> Any:
    """Answer one request; its path is split already. Raises Fault."""
    dialect = GenerateDialect()
    call = await context.identify(dialect)
    body = await context.read_json()
    inner = (await context.aside(camel, body)).get("generateContentRequest")
    asked = as_dict(inner, "generateContentRequest") if inner is not None else body
    await context.aside(dialect.open, call, asked, context.values)
    context.resolve(call)
    # Whoever may not use a model learns nothing from it.
    await context.check_access()
    tokens = await _exact(context, asked, call.candidates[0])
    call.answer_headers["x-gateway-token-count"] = "estimated" if tokens is None else "exact"
    if tokens is None:
        tokens = await context.aside(estimate_input_tokens, call.body)
    return context.json({"totalTokens": tokens})


async def _exact(context: RequestContext, body: dict[str, Any], target: Target) -> int | None:
    """The provider's own count, None when it cannot be had. Raises Fault when the provider finds the request wrong."""
    provider = context.provider(target)
    if not isinstance(provider, CountsContents):
        return None
    try:
        request = await context.aside(provider.build_contents_count, body, target)
        reply = await context.exchange(request, seconds=SECONDS, most=MOST)
    except UpstreamFault:
        return None  # unreachable or too slow: an estimate is better than no answer
    if reply.status >= 300:
        fault = provider.read_fault(reply) if reply.status >= 400 else None
        if fault is not None and fault.status in (400, 413):
            raise fault
        return None
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    tokens = answer.get("totalTokens") if isinstance(answer, dict) else None
    return tokens if type(tokens) is int and tokens >= 0 else None
