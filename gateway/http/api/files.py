"""`/files`: what callers keep at a provider, through the gateway (OpenAI's API reference, files)."""

from __future__ import annotations

from typing import Any

from gateway.errors import CallerFault, Fault
from gateway.http import web
from gateway.http.api.fields import check_parameters
from gateway.http.api.kept import answer_list, asked_object
from gateway.http.api.operations import files as operations
from gateway.http.server.request_context import RequestContext
from gateway.http.server.router import RouteTable
from gateway.provider_files import FILE
from gateway.stores import KeptObject
from gateway.wire.multipart import body_of_form
from gateway.wire.validators import refuse

_PAGE, _MOST = 100, 1000
_PARAMETERS = ("after", "limit", "order", "purpose")


def add_routes(routes: RouteTable) -> None:
    """The routes of this module."""
    routes.add("POST", "/files", create, operations.CREATE)
    routes.add("GET", "/files", list_files, operations.LIST)
    routes.add("GET", "/files/{id}", retrieve, operations.GET)
    routes.add("DELETE", "/files/{id}", delete, operations.DELETE)
    routes.add("GET", "/files/{id}/content", content, operations.CONTENT)


async def create(context: RequestContext) -> web.StreamResponse:
    """POST /files: a form with `file` and `purpose`. Raises Fault."""
    caller = await context.find_caller()
    form = operations.upload_form(context.runtime.config.server.max_upload)
    body = form.read(body_of_form(await context.read_form(), form.members))
    file, provider = body.pop("file"), body.pop("provider", None)
    if (operations.ANCHOR in body) != (operations.SECONDS in body):
        refuse("expires_after", "needs both anchor and seconds")
    fields = {name: str(value) for name, value in body.items()}
    kept = await context.runtime.files.upload(caller.account_id, provider, file, fields, context.id)
    return context.json(shown(kept))


async def list_files(context: RequestContext) -> web.StreamResponse:
    """GET /files: newest first; `after`, `limit`, `purpose`."""
    caller = await context.find_caller()
    query = context.request.query
    check_parameters(query, _PARAMETERS)
    if query.get("order", "desc") != "desc":
        raise CallerFault("order: files are listed newest first (desc).", param="order")
    purpose = query.get("purpose")
    wanted = None if purpose is None else lambda kept: kept.details.get("purpose") == purpose
    return await answer_list(context, caller.account_id, FILE, shown, usual=_PAGE, most=_MOST, wanted=wanted)


async def retrieve(context: RequestContext) -> web.StreamResponse:
    """GET /files/{id}, as it was uploaded."""
    return context.json(shown(await asked_object(context, FILE)))


async def delete(context: RequestContext) -> web.StreamResponse:
    """DELETE /files/{id}, at its provider too."""
    kept = await asked_object(context, FILE)
    await context.runtime.files.delete(kept)
    return context.json({"id": kept.id, "object": "file", "deleted": True})


async def content(context: RequestContext) -> web.StreamResponse:
    """GET /files/{id}/content: the bytes, never to be shown as a page."""
    kept = await asked_object(context, FILE)
    headers = {
        **context.headers(),
        "content-type": "application/octet-stream",
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    response = web.StreamResponse(headers=headers)
    async with context.runtime.files.content(kept) as stream:
        response.content_length = stream.length
        await response.prepare(context.request)
        try:
            async for piece in stream:
                await response.write(piece)
            await response.write_eof()
        except Fault as fault:
            context.gateway.log.warning(
                "a file broke off while it was read: %s", fault.message, extra={"request_id": context.id}
            )
            if context.request.transport is not None:
                context.request.transport.abort()  # nothing else tells that what came is not the whole
    return response


def shown(kept: KeptObject) -> dict[str, Any]:
    """A file as its owner sees it: OpenAI's object, and where it is kept."""
    details = kept.details
    return {
        "id": kept.id,
        "object": "file",
        "bytes": kept.size,
        "created_at": kept.created,
        "expires_at": details.get("expires_at"),
        "filename": details.get("filename", ""),
        "purpose": details.get("purpose", ""),
        "status": "processed",
        "provider": kept.provider,
    }
