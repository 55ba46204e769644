"""What an account used, for whoever is signed in too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.http import web
from gateway.http.api.account.access import find_account
from gateway.http.api.account.requests import lines
from gateway.http.api.usage import storage_of, usage_of
from gateway.http.server.request_context import RequestContext


async def get_usage(context: RequestContext) -> web.StreamResponse:
    """Totals, days, models and keys, like `GET /usage`, for sessions too."""
    return context.json(await _usage(context))


async def get_table(context: RequestContext) -> web.StreamResponse:
    """Its days as comma-separated values, or the values of the tag to group by."""
    found = await _usage(context)
    rows: list[Sequence[object]]
    if "groups" in found:
        rows = [(found["group_by"], "credits", "requests", "tokens")]
        rows += [tuple(group.values()) for group in found["groups"]]
    else:
        rows = [("day", "credits", "requests")]
        rows += [(day["day"], day["credits"], day["requests"]) for day in found["daily"]]
    headers = {
        **context.headers(),
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": 'attachment; filename="usage.csv"',
    }
    return web.Response(body=lines(rows), headers=headers)


async def _usage(context: RequestContext) -> dict[str, Any]:
    account = await find_account(context)
    shown = await usage_of(context.gateway.stores, account.id, context.request.query, context.runtime.config)
    return shown | {"storage": await storage_of(context.runtime.quota, account.id)}
