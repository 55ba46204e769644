"""GET /usage: an account's balance and consumption, by UTC day and by model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.budgets import account_budget, key_budget
from gateway.config import Config
from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api.fields import check_parameters
from gateway.http.server.request_context import RequestContext
from gateway.storage import StorageQuota
from gateway.stores import Stores, UsageSummary

DEFAULT_DAYS = 30
MOST_DAYS = 366
_DAY = 86_400
_FIRST_YEAR = 1970
_PARAMETERS = ("days", "start", "end", "key", "group_by")
NO_KEY = "console"
"""What stands for calls without a key in place of one's id."""


async def get_usage(context: RequestContext) -> web.StreamResponse:
    """The caller's account: the last 30 UTC days including today, or `?days=N`, or `?start=YYYY-MM-DD&end=...`
    (both included); `?key=ID` counts one key only, `?group_by=user` tells the values of a tag apart. Raises
    CallerFault 400 that names the parameter."""
    caller = await context.find_caller()
    shown = await usage_of(context.gateway.stores, caller.account_id, context.request.query, context.runtime.config)
    return context.json(shown | {"storage": await storage_of(context.runtime.quota, caller.account_id)})


async def storage_of(quota: StorageQuota, account_id: str) -> dict[str, int] | None:
    """What is kept for an account and what may be, None where that is not counted."""
    stored, settings = await quota.stored(account_id), quota.settings
    if stored is None:
        return None
    return {
        "bytes": stored.bytes,
        "max_bytes": settings.bytes_per_account,
        "objects": stored.objects,
        "max_objects": settings.objects_per_account,
    }


async def usage_of(stores: Stores, account_id: str, query: Mapping[str, str], config: Config) -> dict[str, Any]:
    """The usage object of one account for a query as `get_usage` takes it. Raises CallerFault 400."""
    check_parameters(query, _PARAMETERS)
    tag = query.get("group_by")
    if tag is not None and tag not in (names := ("user", *config.usage.tag_metadata)):
        raise CallerFault(
            f"group_by: expected `user`, or a name of usage.tag_metadata; here {' or '.join(names)}.", param="group_by"
        )
    now, thresholds = time.time(), config.alerts.thresholds
    first, last = period(query, int(now))
    key_id = stored_key(query["key"]) if "key" in query else None
    account = (await account_budget(stores, account_id, now)).shown(thresholds)
    key = None if key_id is None else await key_budget(stores, key_id, now)
    own = key if key is not None and key.account_id == account_id else None
    summary = await summary_of(stores, account_id, first, last, key_id)
    grouped: dict[str, Any] = {}
    if tag is not None:
        groups = await groups_of(stores, account_id, tag, summary, first, last, key_id)
        grouped = {"group_by": tag, "groups": groups}
    return {
        "object": "usage",
        "balance": summary.balance,
        "totals": {
            "credits": summary.credits,
            "tokens": summary.tokens,
            "requests": summary.requests,
            **summary.others,
        },
        "daily": [{"day": day, "credits": spent, "requests": count} for day, spent, count in summary.daily],
        "by_model": [{"model": model, "credits": spent} for model, spent in summary.by_model],
        "budget": account,
        "key_budget": None if own is None else own.shown(thresholds),
        "by_key": [{"key_id": key or None, "credits": spent, "requests": n} for key, spent, n in summary.by_key],
        **grouped,
    }


def stored_key(key: str) -> str:
    """The key's id as the usage log has it: "" for calls without one."""
    return "" if key == NO_KEY else key


async def summary_of(stores: Stores, account_id: str, first: date, last: date, key_id: str | None) -> UsageSummary:
    """What an account, or one of its keys, used from one UTC day to another, both included."""
    return await stores.usage.summary(account_id, start=_seconds(first), end=_seconds(last) + _DAY, key_id=key_id)


async def groups_of(
    stores: Stores, account_id: str, name: str, whole: UsageSummary, first: date, last: date, key_id: str | None
) -> list[dict[str, Any]]:
    """The parts of `whole` by the values of the tag `name`: most credits first, then what has no such tag (`value` is
    None)."""
    found = await stores.usage.by_tag(account_id, name, start=_seconds(first), end=_seconds(last) + _DAY, key_id=key_id)
    rest = {
        "value": None,
        "credits": whole.credits - sum(one.credits for one in found),
        "requests": whole.requests - sum(one.requests for one in found),
        "tokens": whole.tokens - sum(one.tokens for one in found),
    }
    shown = [asdict(one) for one in found]
    return [*shown, rest] if rest["requests"] or rest["credits"] else shown


def period(query: Mapping[str, str], now: int) -> tuple[date, date]:
    """First and last day that a query asks for, both included; see `get_usage`. Raises CallerFault 400."""
    today = datetime.fromtimestamp(now, UTC).date()
    if "days" in query:
        for name in ("start", "end"):
            if name in query:
                raise CallerFault(f"{name}: give either days, or start and end.", param=name)
        return today - timedelta(days=_days(query["days"]) - 1), today
    last = _day("end", query["end"]) if "end" in query else today
    first = _day("start", query["start"]) if "start" in query else last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        raise CallerFault(f"start: {first} is after end ({last}).", param="start")
    if (last - first).days >= MOST_DAYS:
        raise CallerFault(f"start: at most {MOST_DAYS} days can be asked for at once.", param="start")
    return first, last


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST_DAYS):
        raise CallerFault(f"days: expected a whole number from 1 to {MOST_DAYS}, got {text[:40]!r}.", param="days")
    return int(text)


def _day(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CallerFault(f"{name}: expected a day such as 2026-01-31, got {text[:40]!r}.", param=name) from None
    # Days are counted back from it, and the calendar begins with year 1.
    if day.year < _FIRST_YEAR:
        raise CallerFault(f"{name}: expected a day of {_FIRST_YEAR} or later, got {text[:40]!r}.", param=name)
    return day


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
