"""Asked for what is current, the model searches if it can."""

from __future__ import annotations

import pytest
from tollgate_echo.schema import Effort
from tollgate_echo.tools import choose_calls

SEARCH = {
    "type": "function",
    "function": {
        "name": "web_search",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}
OTHER = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize(
    ("message", "called"),
    [
        ("news story india today", ["web_search"]),
        ("What is the latest?", ["web_search"]),
        ("search the web", ["web_search"]),
        ("Hello!", []),
        ("The weather today?", ["web_search", "get_weather"]),
    ],
)
def test_it_searches(message, called):
    calls = choose_calls({"tools": [SEARCH, OTHER]}, message, None, False, Effort())
    assert [call.name for call in calls] == called
