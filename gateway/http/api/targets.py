"""Under /admin/api: how each target does, and what became of the attempts of a request; over all processes."""

from __future__ import annotations

from aiohttp import web

from gateway.http.api.fields import page_number
from gateway.http.server.request_context import RequestContext
from gateway.stores import Stores
from gateway.upstream.health import merge_health

_MOST_ATTEMPTS = 1000


async def list_targets(context: RequestContext, stores: Stores) -> web.StreamResponse:
    """The health of every target that anything was sent to."""
    said = await context.gateway.siblings.ask("targets")
    return context.json({"object": "list", "data": merge_health(said.all)})


async def list_attempts(context: RequestContext, stores: Stores) -> web.StreamResponse:
    """The last attempts at targets, newest first."""
    query = context.request.query
    limit = page_number(query, "limit", 100, _MOST_ATTEMPTS)
    chosen = {name: query.get(name, "") for name in ("request_id", "target", "outcome")}
    said = await context.gateway.siblings.ask("attempts", limit=limit, **chosen)
    found = sorted((attempt for one in said.all for attempt in one), key=lambda attempt: -attempt["at"])
    return context.json({"object": "list", "data": found[:limit]})
