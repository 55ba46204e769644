"""The calls of an account, one by one: a page of them, as a table to keep, and as they happen."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.errors import CallerFault, too_fast
from gateway.http import web
from gateway.http.api.account.access import find_account
from gateway.http.api.fields import check_parameters, page_number
from gateway.http.api.usage import stored_key
from gateway.http.server.request_context import RequestContext
from gateway.http.server.sessions import find_signed_in
from gateway.stores import OTHER_COUNTS, LoggedRequest, Stores, UsageFilter
from gateway.wire.spend_tags import USER

PAGE = 50
_MOST = 1000
_MOST_ROWS = 100_000
"""Rows of one table to keep."""
_LOOK_EVERY = 1.0
_QUIET = 15
_LONGEST_TAIL = 900
_TAILS = 5
_MOST_KEYS = 50
_PARAMETERS = ("before", "after", "limit", "key", "model", "failed", "user", "tag")
COLUMNS = (
    "time", "request_id", "key_id", "model", "target", "route", "status", "error", "prompt_tokens",
    "completion_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens",
    "web_searches", "images", "characters", "seconds", "searches", "credits", "basis", "first_byte_ms", "total_ms",
    "user", "tags",
)  # fmt: skip


def view(logged: LoggedRequest) -> dict[str, Any]:
    """A call as its owner sees it."""
    row = logged.row
    return {
        "object": "request",
        "seq": logged.seq,
        "request_id": row.request_id,
        "created": row.created,
        "key_id": row.key_id or None,
        "model": row.model,
        "target": row.target or None,
        "route": row.route,
        "status": row.status,
        "error": row.error or None,
        "prompt_tokens": row.usage.prompt_tokens,
        "completion_tokens": row.usage.completion_tokens,
        "cached_tokens": row.usage.cached_tokens,
        "cache_write_tokens": row.usage.cache_write_tokens,
        "cache_write_1h_tokens": row.usage.cache_write_1h_tokens,
        "reasoning_tokens": row.usage.reasoning_tokens,
        "web_searches": row.usage.web_searches,
        **{name: getattr(row.usage, name) for name in OTHER_COUNTS},
        "credits": logged.credits,
        "basis": row.basis,
        "first_byte_ms": row.first_byte_ms,
        "total_ms": row.total_ms,
        "tags": dict(row.tags),
    }


def wanted(query: Mapping[str, str], keys: Sequence[str]) -> UsageFilter:
    """Which calls a query asks for: `model`, `failed=true`, `after`, `user` or `tag=name:value`; keys: all values of
    its `key` (`console` for calls without a key). Raises CallerFault 400."""
    check_parameters(query, _PARAMETERS)
    failed = query.get("failed", "false")
    if failed not in ("true", "false"):
        raise CallerFault("failed: expected true or false.", param="failed")
    key_ids = dict.fromkeys(stored_key(key) for key in keys if key)
    if len(key_ids) > _MOST_KEYS:
        raise CallerFault(f"key: at most {_MOST_KEYS} keys at once.", param="key")
    return UsageFilter(
        key_ids=tuple(key_ids),
        model=query.get("model", ""),
        failed=failed == "true",
        after=page_number(query, "after", 0, 2**53),
        tag=_tag(query),
    )


def _tag(query: Mapping[str, str]) -> tuple[str, str] | None:
    user, tag = query.get("user"), query.get("tag")
    if user and tag:
        raise CallerFault("tag: give either user or tag.", param="tag")
    if user:
        return USER, user
    if not tag:
        return None
    name, colon, value = tag.partition(":")
    if not (name and colon and value):
        raise CallerFault("tag: expected a name and a value, as in team:blue.", param="tag")
    return name, value


async def get_requests(context: RequestContext) -> web.StreamResponse:
    """Newest first."""
    account = await find_account(context)
    query = context.request.query
    limit = max(1, page_number(query, "limit", PAGE, _MOST))
    before = page_number(query, "before", 0, 2**53)
    found = await context.gateway.stores.usage.recent(
        account.id, before=before, limit=limit, only=wanted(query, query.getall("key", []))
    )
    return context.json({"object": "list", "data": [view(logged) for logged in found]})


async def get_table(context: RequestContext) -> web.StreamResponse:
    """The same as comma-separated values, streamed, as far back as the log goes."""
    account = await find_account(context)
    query = context.request.query
    only, before = wanted(query, query.getall("key", [])), page_number(query, "before", 0, 2**53)
    response = web.StreamResponse(
        headers={
            **context.headers(),
            "content-type": "text/csv; charset=utf-8",
            "content-disposition": 'attachment; filename="requests.csv"',
            "cache-control": "no-store",
        }
    )
    await response.prepare(context.request)
    await response.write(lines([COLUMNS]))
    async for page in _pages(context.gateway.stores, account.id, before, only):
        await response.write(lines([_cells(logged) for logged in page]))
    await response.write_eof()
    return response


async def _pages(
    stores: Stores, account_id: str, before: int, only: UsageFilter
) -> AsyncIterator[Sequence[LoggedRequest]]:
    for _ in range(_MOST_ROWS // _MOST):
        found = await stores.usage.recent(account_id, before=before, limit=_MOST, only=only)
        if not found:
            return
        yield found
        before = found[-1].seq


def _cells(logged: LoggedRequest) -> list[object]:
    value = view(logged)
    value["time"] = datetime.fromtimestamp(logged.row.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tags = value["tags"]
    value["user"] = tags.pop(USER, "")
    value["tags"] = " ".join(f"{name}:{text}" for name, text in tags.items())
    return [value[name] for name in COLUMNS]


def lines(rows: Sequence[Sequence[object]]) -> bytes:
    """Rows as comma-separated values (RFC 4180). Text that a spreadsheet would take for a formula gets an apostrophe in
    front: models' names are anybody's."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([[_harmless(cell) for cell in row] for row in rows])
    return out.getvalue().encode()


def _harmless(cell: object) -> object:
    return "'" + cell if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


async def get_live(context: RequestContext) -> web.StreamResponse:
    """Calls as they are written to the log, as server-sent events of the kind `request`, for a quarter of an hour; a
    browser then asks again by itself, with the last one it saw. An end of the session ends it within a second."""
    from aiohttp_sse import sse_response

    account = await find_account(context)
    stores = context.gateway.stores
    [window] = await stores.counters.hit([(f"live:{account.id}", _TAILS)], 10.0)
    if not window.allowed:
        raise too_fast("Too many live views were opened just now.", retry_after=window.retry_after)
    last = context.request.headers.get("Last-Event-ID", "")
    after = page_number({"after": last}, "after", 0, 2**53) if last else await _newest(stores, account.id)
    request: Any = context.request
    headers = {**context.headers(), "cache-control": "no-store", "x-accel-buffering": "no"}
    async with sse_response(request, headers=headers) as response:
        response.ping_interval = _QUIET
        for _ in range(round(_LONGEST_TAIL / _LOOK_EVERY)):
            if not response.is_connected() or context.gateway.leaving or not await _may_still(context):
                break
            found = await stores.usage.recent(account.id, limit=PAGE, only=UsageFilter(after=after))
            for logged in reversed(found):
                after = logged.seq
                await response.send(orjson.dumps(view(logged)).decode(), id=str(after), event="request")
            await asyncio.sleep(_LOOK_EVERY if len(found) < PAGE else 0)
    return response


async def _newest(stores: Stores, account_id: str) -> int:
    """The number from which on calls are new."""
    found = await stores.usage.recent(account_id, limit=1)
    return found[0].seq if found else 0


async def _may_still(context: RequestContext) -> bool:
    """Whether who asked is still let in."""
    if context.signed_in is not None:
        return await find_signed_in(context.request, context.gateway.stores) is not None
    call, keys = context.call, context.gateway.stores.keys
    return call is not None and await keys.authenticate(call.authorization, call.remote) is not None
