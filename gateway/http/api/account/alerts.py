"""How far an account's budgets of the month are used, and which thresholds of the operator's they have passed."""

from __future__ import annotations

import time
from typing import Any

from gateway.budgets import account_budget, key_budget
from gateway.http import web
from gateway.http.api.account.access import find_account
from gateway.http.api.account.keys import state
from gateway.http.server.request_context import RequestContext
from gateway.stores import Stores


async def budgets_of(stores: Stores, account_id: str, thresholds: tuple[int, ...], now: float) -> list[dict[str, Any]]:
    """The account's own first, then those of its active keys that have a ceiling."""
    found = [await account_budget(stores, account_id, now)]
    for key in await stores.keys.list_keys(account_id):
        budget = await key_budget(stores, key.id, now) if state(key, now) == "active" else None
        if budget is not None:
            found.append(budget)
    return [
        {
            "object": "budget",
            "kind": budget.kind,
            "key_id": budget.subject if budget.kind == "key" else None,
            "name": budget.name if budget.kind == "key" else None,
            **budget.shown(thresholds),
        }
        for budget in found
    ]


async def get_alerts(context: RequestContext) -> web.StreamResponse:
    """Of this account alone."""
    account = await find_account(context)
    thresholds = context.runtime.config.alerts.thresholds
    found = await budgets_of(context.gateway.stores, account.id, thresholds, time.time())
    return context.json({"object": "list", "data": found})
