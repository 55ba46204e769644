"""`/responses/{id}` and below: what is kept of answers, and the ones that are being made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api.operations import calls as operations
from gateway.http.server.request_context import RequestContext
from gateway.http.server.router import RouteTable
from gateway.http.streaming.resuming import PATIENCE, follow, replay, starting_after
from gateway.http.streaming.sse_response import SseResponse
from gateway.responses.dialect import ResponsesCall, check_request
from gateway.responses.history import listed_chain, response_not_found
from gateway.responses.running import ResponseCancelled
from gateway.responses.services import ResponsesServices
from gateway.stores import StoredResponse
from gateway.wire.responses.objects import deletion, item_list
from gateway.wire.tokens import estimate_input_tokens

_PATIENCE = 10.0
"""Seconds that `cancel` waits for the response's end."""
_LOOK = 0.2
"""Seconds between two looks at a response that another process makes."""


def add_routes(routes: RouteTable) -> None:
    """The routes of this module."""
    routes.add("POST", "/responses/input_tokens", count_input, operations.COUNT_INPUT)
    routes.add("GET", "/responses/{id}", retrieve, operations.GET_RESPONSE)
    routes.add("DELETE", "/responses/{id}", delete, operations.DELETE_RESPONSE)
    routes.add("POST", "/responses/{id}/cancel", cancel, operations.CANCEL_RESPONSE)
    routes.add("GET", "/responses/{id}/input_items", input_items, operations.INPUT_ITEMS)


async def caller_and_services(context: RequestContext) -> tuple[str, ResponsesServices]:
    """Who asks (an account's id), and the services. Raises Refusal."""
    caller = await context.find_caller()
    return caller.account_id, context.runtime.responses_services()


async def retrieve(context: RequestContext) -> web.StreamResponse:
    """GET /responses/{id}: the object; with `?stream=true` its events, `&starting_after=N` those above a number."""
    account_id, services = await caller_and_services(context)
    response_id = context.values["id"]
    query = context.request.query
    streamed = flag(query, "stream")
    after = starting_after(query)
    if after >= 0 and not streamed:
        raise CallerFault("starting_after: is only allowed with stream=true.", param="starting_after")
    stream = SseResponse(context.request, context.headers, quiet=context.runtime.config.server.keep_alive)
    running = services.running.get(account_id, response_id)
    if running is None:
        stored = await _find(services, account_id, response_id)
        if not streamed:
            return context.json(stored.response)
        await _stream_stored(services, stored, stream, after)
        return stream.response
    if not streamed:
        return context.json(await running.current())
    await follow(context, running, services.store, stream, after)
    return stream.response


async def _stream_stored(services: ResponsesServices, stored: StoredResponse, stream: SseResponse, after: int) -> None:
    """Events above a number, once the response has ended: another process may be making it."""
    found: StoredResponse | None = stored
    silent = 0.0
    await stream.begin(_no_flow)
    while found is not None and found.running:
        await asyncio.sleep(_LOOK)
        silent += _LOOK
        if stream.quiet and silent >= stream.quiet:
            silent = 0.0
            stream.keep_alive()
        found = await services.store.get(stored.account_id, stored.id)
    await stream.end(b"" if found is None else replay(found, after), None, PATIENCE)


def _no_flow(on: bool) -> None:
    """All of it is written at once, so there is no source that could wait."""


async def delete(context: RequestContext) -> web.StreamResponse:
    """DELETE /responses/{id}: it is gone at once; one that still runs in the background is stopped."""
    account_id, services = await caller_and_services(context)
    response_id = context.values["id"]
    running = services.running.get(account_id, response_id)
    if running is not None and running.stop is not None:
        running.stop(ResponseCancelled())
    else:
        await services.store.ask_to_cancel(account_id, response_id)
    if not await services.store.delete(account_id, response_id):
        raise response_not_found(response_id)
    return context.json(deletion(response_id))


async def cancel(context: RequestContext) -> web.StreamResponse:
    """POST /responses/{id}/cancel: stop a background response; the answer is the object as it is then. One that has
    ended is returned as it is."""
    account_id, services = await caller_and_services(context)
    response_id = context.values["id"]
    running = services.running.get(account_id, response_id)
    if running is not None:
        if running.stop is None:
            raise _not_background()
        running.stop(ResponseCancelled())
        try:
            async with asyncio.timeout(_PATIENCE):
                await running.recording.wait_end()
        except TimeoutError:
            return context.json(await running.current())
    stored = await _find(services, account_id, response_id)
    if not stored.background:
        raise _not_background()
    if stored.running:
        await services.store.ask_to_cancel(account_id, response_id)
        stored = await _wait(services, stored)
    return context.json(stored.response)


async def _wait(services: ResponsesServices, stored: StoredResponse) -> StoredResponse:
    """Wait for another process to end this response."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    found: StoredResponse | None = stored
    while found is not None and found.running and loop.time() < deadline:
        await asyncio.sleep(_LOOK)
        found = await services.store.get(stored.account_id, stored.id)
    return found or stored


async def input_items(context: RequestContext) -> web.StreamResponse:
    """GET /responses/{id}/input_items: all that it was made from, newest first; `after`, `limit`, `order`."""
    account_id, services = await caller_and_services(context)
    response_id = context.values["id"]
    chain = await services.store.chain(account_id, response_id, most=services.settings.max_context)
    if chain is None:
        raise response_not_found(response_id)
    return context.json(page_of(listed_chain(chain), context.request.query))


async def count_input(context: RequestContext) -> web.StreamResponse:
    """POST /responses/input_tokens: how many tokens the input of such a request makes, as far as can be told without
    asking the provider."""
    call = context.new_call()
    runner, services = context.begin(call), context.runtime.responses_services()
    await runner.identify()
    body = await context.read_json()
    await context.aside(check_request, {**body, "background": None})
    call.model = body.get("model") or ""
    context.resolve(call)
    # Not before there is a model to be judged.
    await runner.check_access()
    conversation = ResponsesCall(call, {**body, "background": None, "stream": None}, services)
    await conversation.prepare()
    tokens = await services.aside(call.size, estimate_input_tokens, call.body)
    return context.json({"object": "response.input_tokens", "input_tokens": tokens})


def page_of(items: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of items as the query asks for it. Raises CallerFault that names the parameter."""
    limit = query.get("limit", "20")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 6):
        raise CallerFault(f"limit: expected a whole number from 1 to 100, got {limit[:40]!r}.", param="limit")
    return item_list(items, after=query.get("after"), limit=int(limit), order=query.get("order", "desc"))


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean of the query, false when it is not there. Raises CallerFault."""
    text = query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise CallerFault(f"{name}: must be true or false.", param=name)
    return text in ("true", "1")


async def _find(services: ResponsesServices, account_id: str, response_id: str) -> StoredResponse:
    stored = await services.store.get(account_id, response_id)
    if stored is None:
        raise response_not_found(response_id)
    return stored


def _not_background() -> CallerFault:
    return CallerFault(
        "Only responses created with background=true can be cancelled.", code="not_cancellable", param="response_id"
    )
