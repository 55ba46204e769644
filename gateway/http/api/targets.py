"""Under /admin/api: how each target does, and what became of the attempts of a request."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from gateway.http.api.fields import page_number
from gateway.http.server.request_context import RequestContext
from gateway.stores import Stores

_MOST_ATTEMPTS = 1000


async def list_targets(context: RequestContext, stores: Stores) -> web.StreamResponse:
    """The health of every target that this process has sent anything to."""
    now = asyncio.get_running_loop().time()
    found: list[dict[str, Any]] = [circuit.describe(now) for circuit in context.gateway.health]
    found.sort(key=lambda entry: (entry["provider"], entry["endpoint"], entry["model"] or ""))
    return context.json({"object": "list", "data": found})


async def list_attempts(context: RequestContext, stores: Stores) -> web.StreamResponse:
    """The last attempts at targets, newest first."""
    query = context.request.query
    found = context.gateway.attempts.find(
        request_id=query.get("request_id", ""),
        target=query.get("target", ""),
        outcome=query.get("outcome", ""),
        limit=page_number(query, "limit", 100, _MOST_ATTEMPTS),
    )
    return context.json({"object": "list", "data": found})
