"""Calls of all accounts, and the whole path of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api.account.requests import PAGE, view, wanted
from gateway.http.api.admin.access import Admin
from gateway.http.api.admin.people import MOST_ROWS, account_of
from gateway.http.api.admin.system import attempts
from gateway.http.api.fields import page_number
from gateway.stores import LoggedRequest, unpack_tries

_MOST_ATTEMPTS = 100


def shown(logged: LoggedRequest) -> dict[str, Any]:
    """A call as an administrator sees it."""
    return {**view(logged), "account_id": logged.row.account_id}


async def recent(admin: Admin, query: Mapping[str, str], keys: Sequence[str], *, limit: int) -> list[LoggedRequest]:
    """Newest first; `account` (id or name), and what an account's own list takes (`wanted`). Raises CallerFault 400,
    404."""
    account = (await account_of(admin, query["account"])).id if query.get("account") else None
    only = wanted({name: value for name, value in query.items() if name != "account" and value}, keys)
    before = page_number(query, "before", 0, 2**53) if query.get("before") else 0
    return await admin.stores.usage.recent(account, before=before, limit=limit, only=only)


def _kept_attempts(logged: LoggedRequest) -> list[dict[str, Any]]:
    return [{"request_id": logged.row.request_id, **asdict(one)} for one in unpack_tries(logged.row.tries)]


async def path_of(admin: Admin, request_id: str, seq: int = 0) -> dict[str, Any]:
    """What became of one request, from what is kept of it: the log's row with its attempts, the ledger's entries; of
    one that runs, the attempts that its process remembers. seq: the number of its row, which finds that at once.
    Raises CallerFault 404."""
    usage = admin.stores.usage
    near = await usage.recent(before=seq + 1, limit=1) if seq else []
    logged = near[0] if near and near[0].row.request_id == request_id else await usage.find(request_id)
    tries = _kept_attempts(logged) if logged is not None else []
    if not tries:
        found = await attempts(admin.context.gateway, request_id=request_id, limit=_MOST_ATTEMPTS)
        tries = found[::-1]
    entries = await admin.stores.ledger.entries_of(request_id)
    if logged is None and not tries and not entries:
        raise CallerFault(
            "Nothing is kept of such a request: look for its id in the log.", status=404, code="not_found"
        )
    return {
        "object": "request_path",
        "request_id": request_id,
        "request": None if logged is None else shown(logged),
        "attempts": tries,
        "entries": [asdict(entry) for entry in entries],
    }


# -- routes ------------------------------------------------------------------------------------------------------


async def list_requests(admin: Admin) -> web.StreamResponse:
    """A page of them."""
    query = admin.context.request.query
    limit = max(1, page_number(query, "limit", PAGE, MOST_ROWS))
    rows = await recent(admin, query, query.getall("key", []), limit=limit)
    return admin.context.json({"object": "list", "data": [shown(row) for row in rows]})


async def get_request(admin: Admin) -> web.StreamResponse:
    """One, with all that is known of it."""
    query = admin.context.request.query
    seq = page_number(query, "seq", 0, 2**53)
    return admin.context.json(await path_of(admin, admin.context.values["request"], seq))
