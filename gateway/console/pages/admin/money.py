"""/admin/ledger, /admin/vouchers and /admin/payments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.console.forms import beside
from gateway.console.page import Answer, Visit, page
from gateway.console.pages.admin.common import PAGE, admin_of, chosen, filled, given, link, names_of, numbers
from gateway.errors import Fault
from gateway.http.api.admin import money, people
from gateway.stores import Voucher

LEDGER, VOUCHERS, PAYMENTS = "/admin/ledger", "/admin/vouchers", "/admin/payments"


async def _ledger(visit: Visit, **more: Any) -> Mapping[str, Any]:
    admin = admin_of(visit)
    wish, place = chosen(visit, "account"), chosen(visit, "after")
    account = (await people.account_of(admin, wish["account"])).id if wish["account"] else None
    rows = await money.entries(admin, filled(place), account, limit=PAGE + 1)
    shown = rows[:PAGE]
    return {
        "entries": shown,
        "names": await names_of(admin, (entry.account_id for entry in shown)),
        "wish": wish,
        "newer": link(LEDGER, wish) if place["after"] else "",
        "older": link(LEDGER, wish, after=str(shown[-1].seq)) if len(rows) > PAGE else "",
        "checked": None,
        **more,
    }


@page("GET", LEDGER, template="admin/ledger.html", needs="admin")
async def ledger(visit: Visit) -> Answer:
    """Entries of all accounts or of one, newest first. Raises CallerFault 400, 404."""
    return await _ledger(visit)


@page("POST", LEDGER, template="admin/ledger.html", needs="admin")
async def check(visit: Visit) -> Answer:
    """Compute every sum anew and say what differs."""
    found = await admin_of(visit).stores.check()
    return await _ledger(visit, checked=[str(one) for one in found])


async def _vouchers(visit: Visit, **more: Any) -> Mapping[str, Any]:
    admin = admin_of(visit)
    rows: list[Voucher] = []
    last = 0
    # The store lists them oldest first; people look for the newest.
    while found := await admin.stores.ledger.list_vouchers(after=last, limit=1000):
        rows = [*rows, *found][-PAGE:]
        last = found[-1].id
    return {
        "vouchers": rows[::-1],
        "names": await names_of(admin, (row.redeemed_by for row in rows if row.redeemed_by)),
        "values": visit.form,
        "wrong": {},
        "codes": [],
        **more,
    }


@page("GET", VOUCHERS, template="admin/vouchers.html", needs="admin")
async def vouchers(visit: Visit) -> Answer:
    """The newest vouchers."""
    return await _vouchers(visit)


@page("POST", VOUCHERS, template="admin/vouchers.html", needs="admin")
async def create_vouchers(visit: Visit) -> Answer:
    """New codes, which are in this answer only."""
    try:
        body = {**numbers(visit, "credits", "count"), **given(visit, "note")}
        codes = await money.create_vouchers(admin_of(visit), body)
    except Fault as fault:
        return await _vouchers(visit, wrong=beside(visit, fault))
    return await _vouchers(visit, codes=codes)


@page("POST", VOUCHERS + "/{voucher}/revoke", needs="admin")
async def revoke_voucher(visit: Visit) -> Answer:
    """Make an unused one worthless. Raises CallerFault 404, Refusal 409."""
    voucher = await money.revoke_voucher(admin_of(visit), visit.values["voucher"])
    return visit.redirect(VOUCHERS, say=f"The voucher ending in {voucher.label} is revoked.")


@page("GET", PAYMENTS, template="admin/payments.html", needs="admin")
async def payments(visit: Visit) -> Answer:
    """Orders of credits, newest first. Raises CallerFault 400, 404."""
    admin = admin_of(visit)
    wish, place = chosen(visit, "account", "owed"), chosen(visit, "before")
    rows = await money.orders(admin, filled(wish, place), limit=PAGE + 1)
    shown = rows[:PAGE]
    return {
        "orders": [{**asdict(order), "status": order.status} for order in shown],
        "names": await names_of(admin, (order.account_id for order in shown)),
        "methods": sorted(visit.runtime.payments),
        "off": visit.runtime.payments_off,
        "wish": wish,
        "newer": link(PAYMENTS, wish) if place["before"] else "",
        "older": link(PAYMENTS, wish, before=shown[-1].id) if len(rows) > PAGE else "",
        "only_owed": link(PAYMENTS, wish, owed="" if wish["owed"] else "true"),
    }


PAGES = (ledger, check, vouchers, create_vouchers, revoke_voucher, payments)
