"""Tools that cost more than tokens are found wherever a request brings them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.costs import read_costs, run_by_provider
from gateway.errors import CallerFault
from gateway.testing import make_target

DEAR = {"type": "code_interpreter", "container": {"type": "auto"}}
FINE = {"type": "function", "name": "f", "parameters": {"tools": [DEAR]}}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tools": [FINE, DEAR]}, "tools[1]"),
        (
            {"tools": [{"type": "function", "name": "g"}, {"type": "custom", "tools": [FINE, DEAR]}]},
            "tools[1].tools[1]",
        ),
        ({"input": [{"type": "additional_tools", "tools": [DEAR]}]}, "input[0].tools[0]"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [DEAR]}}, "tool_choice.tools[0]"),
        ({"tools": [[FINE, [DEAR]]]}, "tools[0][1][0]"),
        ({"tools": DEAR}, "tools"),
    ],
)
def test_a_dear_tool_is_refused(body: dict[str, Any], path: str) -> None:
    with pytest.raises(CallerFault) as told:
        read_costs(body, "responses", make_target())
    assert run_by_provider(body, make_target()) == path
    assert (told.value.code, told.value.param) == ("unsupported_tool", path)


def test_what_tools_are_given_is_no_tool() -> None:
    body = {"tools": [FINE], "metadata": {"tools": [DEAR]}, "input": [{"tools": "x"}]}
    assert read_costs(body, "responses", make_target()) == []
