"""How fast, without HTTP: which windows are counted, and what the caller is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.api import Refusal, Window
from gateway.builtin.rate_limit import WINDOW, Plugin

from .kit import CALLER, Counters, app, call_for

FREE = Window(True, 60, 59, 1.0, 0.0)
TIGHT = Window(True, 5, 2, 12.3456, 0.0)
FULL = Window(False, 5, 0, 40.0, 7.25)


async def plugin_with(counters: Counters) -> Any:
    plugin = Plugin()
    await plugin.start_up(app(counters=counters, rate=60))
    return plugin


@pytest.mark.parametrize(
    ("changes", "limits"),
    [
        ({}, [("account:acct_1", 60)]),
        ({"account_requests_per_minute": 7}, [("account:acct_1", 7)]),
        ({"requests_per_minute": 5}, [("account:acct_1", 60), ("key:key_1", 5)]),
    ],
)
async def test_the_windows_of_account_and_key_are_hit_together(changes: Any, limits: Any) -> None:
    counters = Counters([FREE, TIGHT])
    plugin = await plugin_with(counters)
    await plugin.admit_call(call_for(caller=replace(CALLER, **changes)))
    assert counters.asked == [("hit", limits, WINDOW)]


async def test_the_tightest_window_is_told() -> None:
    plugin = await plugin_with(Counters([FREE, TIGHT]))
    call = call_for(caller=replace(CALLER, requests_per_minute=5))
    await plugin.admit_call(call)
    assert call.answer_headers == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "12.346s",
    }


async def test_a_full_window_refuses_and_says_until_when() -> None:
    plugin = await plugin_with(Counters([replace(FREE, remaining=0), FULL]))
    call = call_for(caller=replace(CALLER, requests_per_minute=5))
    with pytest.raises(Refusal) as refused:
        await plugin.admit_call(call)
    assert (refused.value.status, refused.value.type, refused.value.retry_after) == (429, "rate_limit", 7.25)
    assert call.answer_headers["x-ratelimit-limit-requests"] == "5"


async def test_what_calls_no_model_looks_without_counting() -> None:
    counters = Counters([FREE])
    plugin = await plugin_with(counters)
    call = call_for()
    await plugin.authorize_call(call)
    assert counters.asked == []
    call.model = ""
    await plugin.authorize_call(call)
    assert [asked[0] for asked in counters.asked] == ["peek"]
    assert call.answer_headers["x-ratelimit-remaining-requests"] == "59"
