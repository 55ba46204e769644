"""Requests of the account API: who asks, how often, and a small JSON object with known members only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.call import Caller
from gateway.errors import CallerFault, too_fast
from gateway.http.api.fields import Form
from gateway.http.server.request_context import RequestContext


async def find_caller(context: RequestContext) -> Caller:
    """Identify the caller by the same chain as a model call. Raises Refusal."""
    return await context.find_caller()


async def read_object(context: RequestContext, *members: str) -> dict[str, Any]:
    """The body, which may have these members. Raises CallerFault that names what is wrong."""
    body = await context.read_small()
    for name in body:
        if name not in members:
            raise CallerFault(f"{name[:100]}: unknown member; known are {', '.join(members)}.", param=name[:100])
    return body


async def read_form(context: RequestContext, form: Form) -> dict[str, Any]:
    """A small body with the form's members. Raises CallerFault that names what is wrong."""
    return form.read(await context.read_small())


async def throttle(context: RequestContext, limits: Sequence[tuple[str, int]], window: float) -> None:
    """Count this request under every name, or refuse it (429) when one of them had its limit within `window`
    seconds. Wrong tries count like right ones."""
    tightest = min(
        await context.gateway.stores.counters.hit(limits, window), key=lambda state: (state.allowed, state.remaining)
    )
    if not tightest.allowed:
        raise too_fast(
            f"Too many tries: at most {tightest.limit} in {window:.0f} seconds. "
            f"Try again in {tightest.retry_after:.1f} seconds.",
            retry_after=tightest.retry_after,
        )
