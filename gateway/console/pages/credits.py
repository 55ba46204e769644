"""/credits: buy credits, redeem a voucher, and what became of orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.console.forms import beside
from gateway.console.page import Answer, Visit, page
from gateway.console.visitor import member_of
from gateway.errors import Fault
from gateway.http.api import payments, vouchers

HERE = "/credits"
_PAGE = 50
_STATES: tuple[tuple[str, str, str], ...] = (
    ("pending", "not paid yet", "warn"),
    ("processing", "being paid", "warn"),
    ("paid", "paid", "good"),
    ("partial", "paid in part", "warn"),
    ("expired", "expired", ""),
    ("failed", "failed", "bad"),
    ("refunded", "refunded", ""),
    ("partially_refunded", "refunded in part", ""),
)
"""What becomes of an order: the status, words, and the kind of badge."""


async def _shown(visit: Visit, wrong: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    account = member_of(visit.visitor).account
    stores = visit.context.gateway.stores
    before = visit.query.get("before", "")
    found = await stores.topups.list_topups(account.id, before=before, limit=_PAGE + 1)
    words = {state: (text, kind) for state, text, kind in _STATES}
    orders = [payments.view(topup) for topup in found[:_PAGE]]
    mine = visit.query.get("topup", "")
    return {
        "account": account,
        "methods": payments.methods_of(visit.runtime),
        "orders": [{**order, "said": words.get(order["status"], (order["status"], ""))} for order in orders],
        "current": next((order for order in orders if order["id"] == mine), None),
        "older": f"{HERE}?before={found[_PAGE - 1].id}" if len(found) > _PAGE else "",
        "newer": HERE if before else "",
        "form": visit.form,
        "wrong": wrong or {},
    }


@page("GET", HERE, template="credits.html", needs="account")
async def credits(visit: Visit) -> Answer:
    """The balance, the ways to more, and the orders."""
    return await _shown(visit)


@page("POST", HERE + "/buy", template="credits.html", needs="account")
async def buy(visit: Visit) -> Answer:
    """Order credits; the page that comes next leads to the payment service."""
    account = member_of(visit.visitor).account
    body = {
        "method": visit.form.get("method", ""),
        "amount_usd": visit.form.get("amount_usd", "").strip().replace(",", "."),
    }
    try:
        topup = await payments.order_credits(visit.context, account.id, body, base=visit.base_url)
    except Fault as fault:
        return await _shown(visit, beside(visit, fault))
    return visit.redirect(f"{HERE}?topup={topup.id}")


@page("POST", HERE + "/redeem", template="credits.html", needs="account")
async def redeem(visit: Visit) -> Answer:
    """Turn a voucher into credits."""
    account = member_of(visit.visitor).account
    try:
        await vouchers.count_try(visit.context, account.id)
        gained, _ = await vouchers.redeem_code(visit.context, account.id, visit.form.get("code", ""))
    except Fault as fault:
        found = beside(visit, fault)
        return await _shown(visit, {"code": found.get("code") or found.get("", "")})
    return visit.redirect(HERE, say=f"{gained:,} credits were added.")


PAGES = (credits, buy, redeem)
