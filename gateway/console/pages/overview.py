"""/account: how things stand, and what to do next."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from gateway.budgets import account_budget
from gateway.console.activity import call_rows, days_between, names_of, spend_chart
from gateway.console.page import Answer, Visit, page
from gateway.console.visitor import member_of
from gateway.http.api.account import keys
from gateway.http.api.usage import summary_of

_DAYS = 14
_CALLS = 5


@page("GET", "/account", template="account.html", needs="account")
async def overview(visit: Visit) -> Answer:
    """Balance, this month, the last days, the newest calls."""
    account = member_of(visit.visitor).account
    stores = visit.context.gateway.stores
    now = time.time()
    today = datetime.fromtimestamp(now, UTC).date()
    first = today - timedelta(days=_DAYS - 1)
    found = await stores.keys.list_keys(account.id)
    days = await summary_of(stores, account.id, first, today, None)
    return {
        "account": account,
        "month": await summary_of(stores, account.id, today.replace(day=1), today, None),
        "chart": spend_chart(days_between(first, today), [("Spend", days)]),
        "quiet": not days.requests,
        "rows": call_rows(await stores.usage.recent(account.id, limit=_CALLS), names_of(found)),
        "active": sum(1 for key in found if keys.state(key, now) == "active"),
        "budget": (await account_budget(stores, account.id, now)).shown(visit.config.alerts.thresholds),
        "login": await stores.logins.login_of(account.id),
    }


PAGES = (overview,)
