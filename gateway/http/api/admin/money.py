"""The ledger, refunds, vouchers and orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api import admin_forms as forms
from gateway.http.api.admin.access import Admin, found
from gateway.http.api.admin.people import MOST_ROWS, account_of
from gateway.http.api.fields import page_number
from gateway.stores import Entry, TopUp, Voucher

# Digits of a number that the database can hold (64 bits, less one digit).
_LONGEST_ID = 18


async def create_vouchers(admin: Admin, body: Mapping[str, Any]) -> list[str]:
    """Codes, which are not kept. Raises CallerFault 400."""
    asked = forms.VOUCHERS.read(body)
    codes = await admin.stores.ledger.create_vouchers(
        asked.get("count", 1), asked["credits"], expires_at=asked.get("expires_at"), note=asked.get("note", "")
    )
    await admin.record("voucher.create", "", **{**asked, "count": len(codes)})
    return codes


async def revoke_voucher(admin: Admin, number: str) -> Voucher:
    """Raises CallerFault 404, Refusal 409."""
    known = number.isascii() and number.isdigit() and len(number) <= _LONGEST_ID
    voucher = found(await admin.stores.ledger.revoke_voucher(int(number)) if known else None, "voucher")
    await admin.record("voucher.revoke", number, label=voucher.label)
    return voucher


async def refund(admin: Admin, body: Mapping[str, Any]) -> tuple[str, int]:
    """Give back credits of a call; returns its id and the balance. Raises CallerFault 400, Refusal 400, 404, 409."""
    asked = forms.REFUND.read(body)
    request_id = asked.pop("request_id")
    balance = await admin.stores.ledger.refund(
        request_id, asked["credits"], key=asked["idempotency_key"], note=asked.get("note", "")
    )
    await admin.record("refund", request_id, **asked)
    return request_id, balance


async def orders(admin: Admin, query: Mapping[str, str], *, limit: int) -> list[TopUp]:
    """Newest first: `account` (id or name), `owed=true`, `before`. Raises CallerFault 400, 404."""
    account = (await account_of(admin, query["account"])).id if query.get("account") else None
    owed = query.get("owed", "false")
    if owed not in ("true", "false"):
        raise CallerFault("owed: expected true or false.", param="owed")
    kept: list[TopUp] = []
    before = query.get("before", "")
    while len(kept) < limit:
        page = await admin.stores.topups.list_topups(account, before=before, limit=limit)
        kept += [order for order in page if owed == "false" or order.owed]
        if len(page) < limit:
            break
        before = page[-1].id
    return kept[:limit]


async def entries(admin: Admin, query: Mapping[str, str], account_id: str | None, *, limit: int) -> list[Entry]:
    """A page of the ledger: `after`, `order`. Raises CallerFault 400."""
    return await admin.stores.ledger.entries(
        account_id,
        after=page_number(query, "after", 0, 2**53),
        limit=limit,
        newest_first=query.get("order", "desc") == "desc",
    )


# -- routes ------------------------------------------------------------------------------------------------------


async def list_entries(admin: Admin) -> web.StreamResponse:
    """Of one account, or of all."""
    query, name = admin.context.request.query, admin.context.values.get("account")
    account = None if name is None else (await account_of(admin, name)).id
    rows = await entries(admin, query, account, limit=page_number(query, "limit", 100, MOST_ROWS))
    return admin.context.json({"object": "list", "data": [asdict(entry) for entry in rows]})


async def post_refund(admin: Admin) -> web.StreamResponse:
    """Give credits back."""
    request_id, balance = await refund(admin, await admin.context.read_small())
    return admin.context.json({"request_id": request_id, "balance": balance})


async def list_vouchers(admin: Admin) -> web.StreamResponse:
    """In order of creation."""
    query = admin.context.request.query
    vouchers = await admin.stores.ledger.list_vouchers(
        after=page_number(query, "after", 0, 2**53), limit=page_number(query, "limit", 100, MOST_ROWS)
    )
    return admin.context.json({"object": "list", "data": [asdict(voucher) for voucher in vouchers]})


async def post_vouchers(admin: Admin) -> web.StreamResponse:
    """New codes."""
    body = await admin.context.read_small()
    return admin.context.json({"codes": await create_vouchers(admin, body), "credits": body["credits"]}, status=201)


async def delete_voucher(admin: Admin) -> web.StreamResponse:
    """Make an unused one worthless."""
    return admin.context.json(asdict(await revoke_voucher(admin, admin.context.values["voucher"])))


async def list_topups(admin: Admin) -> web.StreamResponse:
    """Orders of credits through payment services."""
    query = admin.context.request.query
    rows = await orders(admin, query, limit=max(1, page_number(query, "limit", 100, MOST_ROWS)))
    return admin.context.json({"object": "list", "data": [{**asdict(order), "status": order.status} for order in rows]})


async def check(admin: Admin) -> web.StreamResponse:
    """Whether all sums are what the entries say."""
    problems = await admin.stores.check()
    return admin.context.json({"ok": not problems, "discrepancies": [str(item) for item in problems]})
