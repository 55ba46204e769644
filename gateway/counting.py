"""How many input tokens a request would make, asked in a provider's own dialect: for plugins that serve such a route.

Where the model's provider speaks that dialect it counts itself, exactly. Elsewhere, and where that fails, the number is
the gateway's estimate. The header `x-gateway-token-count` says which it is. No model is called, and nothing billed.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from gateway.call import Call
from gateway.errors import UpstreamFault
from gateway.hookspecs import RequestContext
from gateway.profile import Dialect
from gateway.provider import CountingProvider, UpstreamReply
from gateway.wire.lenient import count_of, dict_of
from gateway.wire.tokens import estimate_input_tokens

SECONDS = 10.0
"""How long the provider may count before the estimate answers instead."""

MOST = 65_536
"""Bytes of the provider's answer."""

_NO_SUCH_ROAD = (404, 405, 501)
"""What servers that speak the dialect but do not count answer, in whatever words: no verdict on the request."""


async def count_input_tokens(context: RequestContext, call: Call, body: dict[str, Any], dialect: Dialect) -> int:
    """The input tokens of a call that its dialect has opened. body: in the words of `dialect`.

    Raises Fault: for a model that is not there or not this caller's, and when the provider finds the request wrong.
    """
    context.resolve(call)
    # Whoever may not use a model learns nothing from it.
    await context.check_access()
    tokens = await _exact(context, call, body, dialect)
    call.answer_headers["x-gateway-token-count"] = "estimated" if tokens is None else "exact"
    if tokens is None:
        return await context.aside(estimate_input_tokens, call.body)
    return tokens


async def _exact(context: RequestContext, call: Call, body: dict[str, Any], dialect: Dialect) -> int | None:
    """The provider's own count, None when it cannot be had. Raises Fault when the provider finds the request wrong."""
    target = call.candidates[0]
    if target.profile.counts != dialect:
        return None
    provider = cast(CountingProvider, context.provider(target))  # checked when it was loaded
    request = await context.aside(provider.build_count, call, body, target)
    try:
        reply = await context.exchange(request, seconds=SECONDS, most=MOST)
    except UpstreamFault:
        return None  # unreachable or too slow: an estimate is better than no answer
    if reply.status < 300:
        return provider.read_count(reply)
    if reply.status < 400 or reply.status in _NO_SUCH_ROAD:
        return None
    fault = provider.read_fault(reply)
    if fault.status in (400, 413):
        raise fault
    return None


def count_in(reply: UpstreamReply, member: str) -> int | None:
    """The count in a member of a JSON answer, None when it holds none: for `CountingProvider.read_count`."""
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    return count_of(dict_of(answer).get(member))
