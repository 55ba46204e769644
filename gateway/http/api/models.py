"""GET /models and GET /models/{id}: what a key may call, in OpenAI's shape plus limits and prices."""

from __future__ import annotations

from gateway.http import web
from gateway.http.server.request_context import RequestContext


async def list_models(context: RequestContext) -> web.StreamResponse:
    """All models and aliases."""
    await context.check_access()
    return context.json({"object": "list", "data": context.models()})


async def get_model(context: RequestContext) -> web.StreamResponse:
    """One model. Raises CallerFault 404."""
    await context.check_access()
    return context.json(context.model(context.values["id"]))
