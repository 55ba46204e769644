"""/admin/requests: calls of all accounts, and the whole path of one."""

from __future__ import annotations

import secrets

from gateway.console.forms import beside
from gateway.console.page import Answer, Visit, page
from gateway.console.pages.admin.common import PAGE, admin_of, chosen, filled, given, link, names_of, numbers
from gateway.errors import Fault
from gateway.http.api.admin import calls, money
from gateway.http.api.fields import page_number

LIST = "/admin/requests"
_FILTERS = ("account", "key", "model", "failed")


@page("GET", LIST, template="admin/requests.html", needs="admin")
async def list_requests(visit: Visit) -> Answer:
    """A page of calls, newest first, filtered as the address says. Raises CallerFault 400, 404."""
    admin = admin_of(visit)
    wish = chosen(visit, *_FILTERS)
    place = chosen(visit, "before")
    rows = await calls.recent(admin, filled(wish, place), [wish["key"]], limit=PAGE + 1)
    shown = rows[:PAGE]
    return {
        "rows": [calls.shown(row) for row in shown],
        "names": await names_of(admin, (row.row.account_id for row in shown)),
        "wish": wish,
        "newer": link(LIST, wish) if place["before"] else "",
        "filtered": bool(filled(wish)),
        "older": link(LIST, wish, before=str(shown[-1].seq)) if len(rows) > PAGE else "",
        "only_failures": link(LIST, wish, failed="" if wish["failed"] else "true"),
        "models": [model["id"] for model in visit.runtime.catalog.public_list()],
    }


async def _path(visit: Visit, **more: object) -> Answer:
    admin = admin_of(visit)
    query = visit.query
    path = await calls.path_of(admin, visit.values["request"], page_number(query, "seq", 0, 2**53))
    row = path["request"]
    charged = -sum(entry["amount"] for entry in path["entries"])
    return {
        "path": path,
        "row": row,
        "names": await names_of(admin, [row["account_id"]] if row else []),
        "charged": charged,
        "held": max((entry["reserved"] for entry in path["entries"]), default=0),
        "booking": secrets.token_hex(12),
        "values": visit.form,
        "wrong": {},
        **more,
    }


@page("GET", LIST + "/{request}", template="admin/request.html", needs="admin")
async def show(visit: Visit) -> Answer:
    """What became of one request. Raises CallerFault 404."""
    return await _path(visit)


@page("POST", LIST + "/{request}/refund", template="admin/request.html", needs="admin")
async def refund(visit: Visit) -> Answer:
    """Give credits back. Raises CallerFault 404."""
    name = visit.values["request"]
    try:
        body = {"request_id": name, **given(visit, "note", "idempotency_key"), **numbers(visit, "credits")}
        await money.refund(admin_of(visit), body)
    except Fault as fault:
        return await _path(visit, wrong=beside(visit, fault))
    return visit.redirect(f"{LIST}/{name}", say="The credits are given back.")


PAGES = (list_requests, show, refund)
