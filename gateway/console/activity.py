"""Calls and spend as pages show them: words for what went wrong, rows of the table of calls, days of a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any

from gateway.console.charts import Chart, bar_chart
from gateway.http.api.account import requests
from gateway.stores import OTHER_COUNTS, Key, LoggedRequest, UsageSummary

_ONE: Mapping[str, str] = MappingProxyType(
    {"images": "image", "characters": "character", "seconds": "second", "searches": "search"}
)
"""What one of `OTHER_COUNTS` is called."""
_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "insufficient_quota": "No credits left, or the key's monthly limit is reached",
        "model_not_allowed": "The key may not use this model",
        "rate_limit_exceeded": "Too many requests",
        "context_length_exceeded": "The input is longer than the model takes",
        "client_closed_request": "The caller left",
        "provider_off": "The model's provider has no key here",
        "upstream_timeout": "The provider did not answer in time",
        "draining": "The gateway was restarted",
    }
)


def reason(code: str | None, status: int) -> str:
    """Why a call failed, in words; "" for one that did not."""
    if status < 400 and not code:
        return ""
    if not code:
        return "The caller left" if status == 499 else ""
    return _REASONS.get(code) or code.replace("_", " ").capitalize()


def names_of(keys: Sequence[Key]) -> dict[str, str]:
    """Key ids to what people call them."""
    return {"": "Console", **{key.id: key.name or key.label for key in keys}}


def others(counts: Mapping[str, Any]) -> str:
    """What was used besides tokens, in words; "" for nothing. counts: by the names of `OTHER_COUNTS`."""
    found = [(counts[name], name) for name in OTHER_COUNTS if counts.get(name)]
    return ", ".join(f"{count:,} {_ONE[name] if count == 1 else name}" for count, name in found)


def call_rows(found: Sequence[LoggedRequest], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of the table of calls."""
    rows = []
    for logged in found:
        row = requests.view(logged)
        key_id = logged.row.key_id
        rows.append(
            {
                **row,
                "others": others(row),
                "key": names.get(key_id, key_id),
                "reason": reason(row["error"], row["status"]),
            }
        )
    return rows


def together(summaries: Sequence[UsageSummary]) -> UsageSummary:
    """What several keys of one account used, as one: totals and models."""
    models: dict[str, int] = {}
    for summary in summaries:
        for model, credits in summary.by_model:
            models[model] = models.get(model, 0) + credits
    return UsageSummary(
        balance=summaries[0].balance,
        credits=sum(one.credits for one in summaries),
        tokens=sum(one.tokens for one in summaries),
        requests=sum(one.requests for one in summaries),
        by_model=tuple(sorted(models.items(), key=lambda pair: (-pair[1], pair[0]))),
        **{name: sum(getattr(one, name) for one in summaries) for name in OTHER_COUNTS},
    )


def days_between(first: date, last: date) -> list[str]:
    """All days, both included, as `2026-11-27`."""
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def spend_chart(days: Sequence[str], series: Sequence[tuple[str, UsageSummary]]) -> Chart:
    """Credits a day, a series for each."""
    drawn = []
    for name, summary in series:
        spent = {day: credits for day, credits, _ in summary.daily}
        drawn.append((name, [spent.get(day, 0) for day in days]))
    return bar_chart("Spend a day", days, drawn)
