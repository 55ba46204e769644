"""The table of what models tolerate, resolved, as a snapshot: a change shows up as a difference here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from tollgate_anthropic import Settings, create
from tollgate_anthropic.quirks import ROWS, TABLE

from gateway.api import GatewayFault
from gateway.testing import make_call, make_target

# thinking, on when unasked, hidden, efforts, sampling, prefill, structured, forced tool, inline system, most output
SNAPSHOT = """
claude-3-haiku-20240307        none     . . -   both +prefill -json without_thinking - 4096
claude-3-5-sonnet-20240620     none     . . -   both +prefill -json without_thinking - 8192
claude-3-5-haiku-20241022      none     . . -   both +prefill -json without_thinking - 8192
claude-3-7-sonnet-latest       budget   . . -   both +prefill -json without_thinking - 64000
claude-sonnet-4-0              budget   . . -   both +prefill -json without_thinking - 64000
claude-sonnet-4-20250514       budget   . . -   both +prefill -json without_thinking - 64000
claude-opus-4-20250514         budget   . . -   both +prefill -json without_thinking - 32000
claude-opus-4-1-20250805       budget   . . -   one +prefill -json without_thinking - 32000
claude-sonnet-4-5-20250929     budget   . . -   one +prefill +json without_thinking - 64000
anthropic/claude-sonnet-4.5    budget   . . -   one +prefill +json without_thinking - 64000
claude-haiku-4-5@20251001      budget   . . -   one +prefill +json without_thinking - 64000
claude-opus-4.5                budget   . . low,medium,high one +prefill +json without_thinking - 64000
claude-sonnet-4-6              adaptive . . low,medium,high,max one -prefill +json yes - 64000
us.anthropic.claude-opus-4-6-v1:0 adaptive . . low,medium,high,max one -prefill +json yes - 128000
claude-opus-4-7                adaptive . hidden low,medium,high,xhigh,max none -prefill +json yes - 128000
claude-opus-4-8                adaptive . hidden low,medium,high,xhigh,max none -prefill +json yes inline 128000
claude-sonnet-5                adaptive on hidden low,medium,high,xhigh,max none -prefill +json yes - 128000
claude-opus-5-20260701         adaptive on hidden low,medium,high,xhigh,max none -prefill +json yes - 128000
claude-haiku-5-5               adaptive on hidden low,medium,high,xhigh,max none -prefill +json yes - 128000
claude-fable-5                 always   on hidden low,medium,high,xhigh,max none -prefill +json yes - 128000
claude-fable-5-1               always   on hidden low,medium,high,xhigh,max none -prefill +json never - 128000
claude-mythos-preview          always   on hidden low,medium,high,xhigh,max none -prefill +json never - 128000
claude-novel-9                 adaptive . hidden low,medium,high,xhigh,max none -prefill +json yes - 0
kimi-k2-thinking               budget   . . -   both +prefill -json without_thinking - 0
"""


def shown(model: str) -> list[str]:
    q = TABLE.resolve(model)
    return [
        model,
        q.thinking,
        "on" if q.thinks_unasked else ".",
        "hidden" if q.hides_thinking else ".",
        ",".join(q.effort) or "-",
        q.sampling,
        "+prefill" if q.prefill else "-prefill",
        "+json" if q.structured else "-json",
        q.forced_tool,
        "inline" if q.inline_system else "-",
        str(q.max_output),
    ]


@pytest.mark.parametrize("line", SNAPSHOT.strip().splitlines(), ids=lambda line: line.split()[0])
def test_the_resolved_table(line: str) -> None:
    assert shown(line.split()[0]) == line.split()


def test_the_snapshot_covers_every_kind_of_row() -> None:
    told = {tuple(line.split()[1:]) for line in SNAPSHOT.strip().splitlines()}
    assert {tuple(shown(name)[1:]) for name, _ in ROWS} <= told


def test_rows_are_unique_and_spelled_plainly() -> None:
    names = [name for name, _ in ROWS]
    assert len(set(names)) == len(names)
    assert all(TABLE.resolve(name) == quirks for name, quirks in ROWS)


def test_a_longer_number_is_another_model() -> None:
    assert TABLE.resolve("claude-opus-4-15").max_output == TABLE.resolve("claude-opus-4").max_output
    assert TABLE.resolve("claude-opus-51") == TABLE.resolve("claude-novel-9")


def test_the_operator_may_override_a_model() -> None:
    changed = TABLE.resolve("claude-novel-9", {"sampling": "both", "effort": ["low"]}, None, {"sampling": "one"})
    assert changed == replace(TABLE.resolve("claude-novel-9"), sampling="one", effort=("low",))
    for wrong in ({"samplings": "both"}, {"sampling": "some"}, {"max_output": "many"}):
        with pytest.raises(ValidationError):
            TABLE.resolve("claude-novel-9", wrong)


def test_overrides_of_the_configuration_reach_the_request(built: Any) -> None:
    out, _ = built({"temperature": 0.3}, model="claude-novel-9", options={"quirks": {"sampling": "both"}})
    assert out["temperature"] == 0.3
    with pytest.raises(GatewayFault, match="test/claude-novel-9"):
        built({}, model="claude-novel-9", options={"quirks": {"samplings": "both"}})
    with pytest.raises(ValidationError):
        Settings(quirks={"samplings": "both"})
    provider = create("x", Settings(quirks={"max_output": 77}))
    request = provider.prepare(make_call(), make_target("claude-novel-9")).request
    assert orjson.loads(request.body)["max_tokens"] == 77
