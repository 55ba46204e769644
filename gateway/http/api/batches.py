"""`/batches`: many requests that a provider answers within a day (OpenAI's API reference, batch)."""

from __future__ import annotations

from gateway.batch_object import BATCH, shown
from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api.fields import Form, check_parameters
from gateway.http.api.kept import answer_list, asked_object, find_object
from gateway.http.api.operations import batches as operations
from gateway.http.calls.batch_lines import check_lines
from gateway.http.calls.explaining import ModelRoutes
from gateway.http.server.request_context import RequestContext
from gateway.http.server.router import RouteTable
from gateway.provider_files import FILE
from gateway.wire.batches import MEMBERS, REQUIRED, read_lines

_PAGE, _MOST = 20, 100
_FORM = Form(MEMBERS, required=REQUIRED)
_PARAMETERS = ("after", "limit")


class BatchMaker:
    """The handler of `POST /batches`. routes: what tells how the requests of a batch are read."""

    def __init__(self, routes: ModelRoutes) -> None:
        self._routes = routes

    async def __call__(self, context: RequestContext) -> web.StreamResponse:
        """A file of requests to a batch. Raises Fault."""
        caller = await context.find_caller()
        batches = context.runtime.batches
        if not batches.providers:
            raise CallerFault(
                "This gateway takes no batches: its operator names no provider that does (batches.providers).",
                status=404,
                code="batches_disabled",
            )
        asked = _FORM.read(await context.read_small())
        await context.runtime.quota.check(caller.account_id, "This batch")
        allowance = await batches.admit(caller)
        content = await _content(context, caller.account_id, asked["input_file_id"])
        config = context.runtime.config
        lines = await context.gateway.aside(
            len(content), read_lines, content, asked["endpoint"], config.batches.most_requests,
            max_depth=config.server.json_depth, max_values=config.server.json_values,
        )  # fmt: skip
        batch = await check_lines(context, self._routes, caller, asked, lines, allowance)
        if context.flight is not None:
            context.flight.take(len(batch.requests))
        kept = await batches.create(caller, batch, context.id)
        context.gateway.charged(caller)
        return context.json(shown(kept))


def add_routes(routes: RouteTable, calls: ModelRoutes) -> None:
    """The routes of this module. calls: those of model calls."""
    routes.add("POST", "/batches", BatchMaker(calls), operations.CREATE)
    routes.add("GET", "/batches", list_batches, operations.LIST)
    routes.add("GET", "/batches/{id}", retrieve, operations.GET)
    routes.add("POST", "/batches/{id}/cancel", cancel, operations.CANCEL)


async def _content(context: RequestContext, account_id: str, file_id: str) -> bytes:
    kept = await find_object(context, account_id, FILE, file_id)
    most = context.runtime.config.server.max_upload
    if context.flight is not None:
        context.flight.take(min(kept.size, most))
    async with context.runtime.files.content(kept) as stream:
        return await stream.read(most)


async def list_batches(context: RequestContext) -> web.StreamResponse:
    """GET /batches: newest first; `after`, `limit`."""
    caller = await context.find_caller()
    check_parameters(context.request.query, _PARAMETERS)
    return await answer_list(context, caller.account_id, BATCH, shown, usual=_PAGE, most=_MOST)


async def retrieve(context: RequestContext) -> web.StreamResponse:
    """GET /batches/{id}, as its provider tells it now."""
    kept = await asked_object(context, BATCH)
    return context.json(shown(await context.runtime.batches.refresh(kept)))


async def cancel(context: RequestContext) -> web.StreamResponse:
    """POST /batches/{id}/cancel."""
    kept = await asked_object(context, BATCH)
    return context.json(shown(await context.runtime.batches.cancel(kept)))
