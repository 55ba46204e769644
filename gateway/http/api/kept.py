"""What an account keeps at providers, as the routes of its kinds find and list it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api.fields import page_number
from gateway.http.server.request_context import RequestContext
from gateway.provider_files import no_object
from gateway.stores import KeptObject, ObjectKind, Objects

_AT_ONCE = 1000
"""Objects that the store gives at once."""


async def asked_object(context: RequestContext, kind: ObjectKind) -> KeptObject:
    """The caller's own that the path names. Raises Fault."""
    caller = await context.find_caller()
    return await find_object(context, caller.account_id, kind, context.values["id"])


async def find_object(context: RequestContext, account_id: str, kind: ObjectKind, object_id: str) -> KeptObject:
    """One of an account's. Raises CallerFault 404."""
    found = await context.gateway.stores.objects.find_object(account_id, kind, object_id)
    if found is None:
        raise no_object(kind, object_id)
    return found


async def answer_list(
    context: RequestContext,
    account_id: str,
    kind: ObjectKind,
    show: Callable[[KeptObject], dict[str, Any]],
    *,
    usual: int,
    most: int,
    wanted: Callable[[KeptObject], bool] | None = None,
) -> web.StreamResponse:
    """A page of an account's, newest first, as `after` and `limit` ask for it. usual, most: how many. wanted: which of
    them, None for all. Raises CallerFault 400."""
    query, objects = context.request.query, context.gateway.stores.objects
    limit, before = max(1, page_number(query, "limit", usual, most)), 0
    if after := query.get("after"):
        last = await objects.find_object(account_id, kind, after)
        if last is None:
            raise CallerFault(f"after: there is no {kind} {after[:100]!r}.", param="after")
        before = last.seq
    found = await _page(objects, account_id, kind, before, limit + 1, wanted)
    data = [show(kept) for kept in found[:limit]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return context.json({"object": "list", "data": data, **ends, "has_more": len(found) > limit})


async def _page(
    objects: Objects,
    account_id: str,
    kind: ObjectKind,
    before: int,
    most: int,
    wanted: Callable[[KeptObject], bool] | None,
) -> list[KeptObject]:
    found: list[KeptObject] = []
    size = _AT_ONCE if wanted is not None else min(most, _AT_ONCE)
    while len(found) < most:
        page = await objects.list_objects(account_id, kind, before=before, limit=size)
        found += page if wanted is None else filter(wanted, page)
        if len(page) < size:
            break
        before = page[-1].seq
    return found[:most]
