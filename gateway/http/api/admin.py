"""The admin API under /admin/api: accounts, keys, credits, vouchers and the ledger, with the power of the command
line. Its only credential is the admin secret; nothing that an API key can do leads here."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from gateway.dialect import bearer
from gateway.errors import CallerFault, Refusal, too_fast
from gateway.http.api import admin_forms as forms
from gateway.http.api import targets
from gateway.http.api.fields import page_number
from gateway.http.api.operations.admin import OPERATIONS
from gateway.http.api.usage import usage_of
from gateway.http.server.request_context import RequestContext
from gateway.http.server.request_reading import remote_address
from gateway.http.server.router import RouteTable
from gateway.stores import AccountChange, Stores
from gateway.wire.openapi import Operation

PREFIX = "/admin/api"
_TRIES = 20
_TRIES_WINDOW = 60.0
_MOST_ROWS = 1000
# Digits of a number that the database can hold (64 bits, less one digit).
_LONGEST_ID = 18

Work = Callable[[RequestContext, Stores], Awaitable[web.StreamResponse]]


def add_routes(routes: RouteTable) -> None:
    """Register the admin API."""
    table: tuple[tuple[str, str, Work], ...] = (
        ("GET", "/accounts", _list_accounts),
        ("POST", "/accounts", _create_account),
        ("GET", "/accounts/{account}", _get_account),
        ("PATCH", "/accounts/{account}", _update_account),
        ("POST", "/accounts/{account}/credits", _add_credits),
        ("GET", "/accounts/{account}/entries", _entries),
        ("GET", "/accounts/{account}/usage", _usage),
        ("GET", "/accounts/{account}/keys", _list_keys),
        ("POST", "/accounts/{account}/keys", _create_key),
        ("GET", "/keys/{key}", _get_key),
        ("PATCH", "/keys/{key}", _update_key),
        ("DELETE", "/keys/{key}", _revoke_key),
        ("POST", "/keys/{key}/rotate", _rotate_key),
        ("POST", "/refunds", _refund),
        ("GET", "/vouchers", _list_vouchers),
        ("POST", "/vouchers", _create_vouchers),
        ("DELETE", "/vouchers/{voucher}", _revoke_voucher),
        ("GET", "/ledger/check", _check),
        ("GET", "/audit", _audit),
        ("GET", "/targets", targets.list_targets),
        ("GET", "/attempts", targets.list_attempts),
    )
    for method, template, work in table:
        routes.add(method, PREFIX + template, _guarded(work), *_operations(method, template), api=False)


def _operations(method: str, template: str) -> tuple[Operation, ...]:
    found = OPERATIONS.get((method, template))
    return () if found is None else (found,)


def _guarded(work: Work) -> Callable[[RequestContext], Awaitable[web.StreamResponse]]:
    """The handler that lets only the administrator through."""

    async def handler(context: RequestContext) -> web.StreamResponse:
        stores = context.gateway.stores
        await _authenticate(context, stores)
        response = await work(context, stores)
        response.headers["cache-control"] = "no-store"
        return response

    return handler


async def _authenticate(context: RequestContext, stores: Stores) -> None:
    """Raises Refusal 401, or 429 after too many wrong secrets from one address."""
    given = bearer({"authorization": context.request.headers.get("Authorization", "")})
    # Bytes that are no UTF-8 stand in headers as lone surrogates, which a plain `encode` refuses.
    if given and hmac.compare_digest(given.encode("utf-8", "replace"), context.gateway.admin_secret().encode()):
        return
    remote = remote_address(context.request, context.runtime.config.server.trusted_proxies)
    [window] = await stores.counters.hit([(f"admin:{remote}", _TRIES)], _TRIES_WINDOW)
    if not window.allowed:
        raise too_fast(
            "Too many attempts with a wrong admin secret.",
            retry_after=window.retry_after,
        )
    raise Refusal(
        "The admin API needs the admin secret: 'Authorization: Bearer mgas_...'.", status=401, code="invalid_api_key"
    )


async def _record(context: RequestContext, stores: Stores, action: str, subject: str, **detail: object) -> None:
    """Enter what the administrator has done in the audit log, before the answer says that it is done."""
    remote = remote_address(context.request, context.runtime.config.server.trusted_proxies)
    await stores.audit.record("admin", action, subject, remote=remote, detail=detail)


async def _list_accounts(context: RequestContext, stores: Stores) -> web.StreamResponse:
    query = context.request.query
    limit = page_number(query, "limit", 100, _MOST_ROWS)
    accounts = await stores.accounts.list_accounts(after=query.get("after", ""), limit=limit)
    return context.json({"object": "list", "data": [asdict(account) for account in accounts]})


async def _create_account(context: RequestContext, stores: Stores) -> web.StreamResponse:
    body = forms.NEW_ACCOUNT.read(await context.read_json())
    grant = body.get("credits", context.runtime.config.credits.signup_grant)
    account = await stores.accounts.create_account(body["name"], role=body.get("role", "user"), grant=grant)
    await _record(context, stores, "account.create", account.id, name=account.name, role=account.role, credits=grant)
    return context.json(asdict(account), status=201)


async def _get_account(context: RequestContext, stores: Stores) -> web.StreamResponse:
    return context.json(asdict(_found(await stores.accounts.find_account(context.values["account"]), "account")))


async def _update_account(context: RequestContext, stores: Stores) -> web.StreamResponse:
    body = forms.ACCOUNT.read(await context.read_json())
    account = _found(await stores.accounts.find_account(context.values["account"]), "account")
    changed = await stores.accounts.update_account(account.id, AccountChange(change=tuple(body), **body))
    await _record(context, stores, "account.update", account.id, **body)
    return context.json(asdict(_found(changed, "account")))


async def _add_credits(context: RequestContext, stores: Stores) -> web.StreamResponse:
    body = forms.CREDIT.read(await context.read_json())
    account = _found(await stores.accounts.find_account(context.values["account"]), "account")
    balance = await stores.ledger.grant(
        account.id,
        body["credits"],
        kind=body.get("kind", "grant"),
        key=body["idempotency_key"],
        note=body.get("note", ""),
    )
    await _record(context, stores, "account.credits", account.id, **body)
    return context.json({"account_id": account.id, "balance": balance})


async def _entries(context: RequestContext, stores: Stores) -> web.StreamResponse:
    account = _found(await stores.accounts.find_account(context.values["account"]), "account")
    query = context.request.query
    entries = await stores.ledger.entries(
        account.id,
        after=page_number(query, "after", 0, 2**53),
        limit=page_number(query, "limit", 100, _MOST_ROWS),
        newest_first=query.get("order", "desc") == "desc",
    )
    return context.json({"object": "list", "data": [asdict(entry) for entry in entries]})


async def _usage(context: RequestContext, stores: Stores) -> web.StreamResponse:
    account = _found(await stores.accounts.find_account(context.values["account"]), "account")
    return context.json(
        await usage_of(stores, account.id, context.request.query, context.runtime.config.alerts.thresholds)
    )


async def _list_keys(context: RequestContext, stores: Stores) -> web.StreamResponse:
    account = _found(await stores.accounts.find_account(context.values["account"]), "account")
    keys = await stores.keys.list_keys(account.id)
    return context.json({"object": "list", "data": [asdict(key) for key in keys]})


async def _create_key(context: RequestContext, stores: Stores) -> web.StreamResponse:
    settings = forms.key_settings(forms.KEY.read(await context.read_json()))
    account = _found(await stores.accounts.find_account(context.values["account"]), "account")
    key, plain = await stores.keys.create_key(account.id, settings)
    await _record(context, stores, "key.create", key.id, account=account.id, **asdict(settings))
    return context.json({"key": plain, **asdict(key)}, status=201)


async def _get_key(context: RequestContext, stores: Stores) -> web.StreamResponse:
    return context.json(asdict(_found(await stores.keys.get_key(context.values["key"]), "key")))


async def _update_key(context: RequestContext, stores: Stores) -> web.StreamResponse:
    body = forms.KEY.read(await context.read_json())
    key = _found(await stores.keys.get_key(context.values["key"]), "key")
    # What is not named stays as it is; null takes a limit away.
    settings = forms.key_settings({**{name: getattr(key, name) for name in forms.KEY.names}, **body})
    changed = _found(await stores.keys.update_key(key.id, settings), "key")
    await _record(context, stores, "key.update", key.id, account=key.account_id, **body)
    return context.json(asdict(changed))


async def _revoke_key(context: RequestContext, stores: Stores) -> web.StreamResponse:
    key = _found(await stores.keys.revoke_key(context.values["key"]), "key")
    await _record(context, stores, "key.revoke", key.id, account=key.account_id)
    return context.json(asdict(key))


async def _rotate_key(context: RequestContext, stores: Stores) -> web.StreamResponse:
    body = forms.ROTATION.read(await context.read_json())
    key, plain = _found(await stores.keys.rotate_key(context.values["key"], grace=body.get("grace", 0)), "key")
    await _record(context, stores, "key.rotate", key.id, account=key.account_id, grace=body.get("grace", 0))
    return context.json({"key": plain, **asdict(key)})


async def _refund(context: RequestContext, stores: Stores) -> web.StreamResponse:
    body = forms.REFUND.read(await context.read_json())
    request_id = body["request_id"]
    balance = await stores.ledger.refund(
        request_id, body["credits"], key=body["idempotency_key"], note=body.get("note", "")
    )
    del body["request_id"]
    await _record(context, stores, "refund", request_id, **body)
    return context.json({"request_id": request_id, "balance": balance})


async def _list_vouchers(context: RequestContext, stores: Stores) -> web.StreamResponse:
    query = context.request.query
    vouchers = await stores.ledger.list_vouchers(
        after=page_number(query, "after", 0, 2**53), limit=page_number(query, "limit", 100, _MOST_ROWS)
    )
    return context.json({"object": "list", "data": [asdict(voucher) for voucher in vouchers]})


async def _create_vouchers(context: RequestContext, stores: Stores) -> web.StreamResponse:
    body = forms.VOUCHERS.read(await context.read_json())
    codes = await stores.ledger.create_vouchers(
        body.get("count", 1), body["credits"], expires_at=body.get("expires_at"), note=body.get("note", "")
    )
    await _record(context, stores, "voucher.create", "", **{**body, "count": len(codes)})
    return context.json({"codes": codes, "credits": body["credits"]}, status=201)


async def _revoke_voucher(context: RequestContext, stores: Stores) -> web.StreamResponse:
    number = context.values["voucher"]
    known = number.isascii() and number.isdigit() and len(number) <= _LONGEST_ID
    voucher = await stores.ledger.revoke_voucher(int(number)) if known else None
    revoked = _found(voucher, "voucher")
    await _record(context, stores, "voucher.revoke", number, label=revoked.label)
    return context.json(asdict(revoked))


async def _check(context: RequestContext, stores: Stores) -> web.StreamResponse:
    found = await stores.check()
    return context.json({"ok": not found, "discrepancies": [str(item) for item in found]})


async def _audit(context: RequestContext, stores: Stores) -> web.StreamResponse:
    query = context.request.query
    entries = await stores.audit.entries(
        before=page_number(query, "before", 0, 2**53),
        limit=page_number(query, "limit", 100, _MOST_ROWS),
        actor=query.get("actor", ""),
        action=query.get("action", ""),
        subject=query.get("subject", ""),
    )
    return context.json({"object": "list", "data": [asdict(entry) for entry in entries]})


def _found(value: Any, what: str) -> Any:
    """The value. Raises CallerFault 404 when there is none."""
    if value is None:
        raise CallerFault(f"There is no such {what}.", status=404, code="not_found")
    return value
