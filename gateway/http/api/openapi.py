"""GET /openapi.json: what every route takes and answers, made of what the routes themselves declare."""

from __future__ import annotations

import hashlib

import orjson

from gateway import __version__
from gateway.http import web
from gateway.http.server.request_context import JSON_TYPE, RequestContext
from gateway.http.server.router import RouteTable
from gateway.wire.openapi import document


class DocumentHandler:
    """Answers with the document of one route table. It is made at the first request, and kept as bytes."""

    def __init__(self, routes: RouteTable) -> None:
        self._routes = routes
        self._made: tuple[bytes, str] | None = None

    async def __call__(self, context: RequestContext) -> web.StreamResponse:
        """The document, or 304 when the caller has it (`If-None-Match`)."""
        if self._made is None:
            routes = self._routes
            made = document(routes.documented(), title="Tollgate", version=__version__, prefixes=routes.prefixes)
            body = orjson.dumps(made)
            self._made = body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        body, etag = self._made
        headers = {**context.headers(), "etag": etag, "cache-control": "no-cache"}
        given = context.request.headers.get("If-None-Match", "")
        if etag in (tag.strip().removeprefix("W/") for tag in given.split(",")) or given.strip() == "*":
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers={**headers, "content-type": JSON_TYPE})
