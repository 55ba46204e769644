"""GET /models and GET /models/{id}: what a key may call, in OpenAI's shape plus limits and prices."""

from __future__ import annotations

from aiohttp import web

from gateway.http.calls import new_call
from gateway.http.context import Visit


async def list_models(visit: Visit) -> web.StreamResponse:
    """All models and aliases."""
    await visit.begin(new_call(visit)).enter()
    return visit.json({"object": "list", "data": visit.runtime.catalog.public_list()})


async def get_model(visit: Visit) -> web.StreamResponse:
    """One model. Raises CallerFault 404."""
    await visit.begin(new_call(visit)).enter()
    return visit.json(visit.runtime.catalog.public_one(visit.values["id"]))
