"""The table of what models tolerate, resolved, as a snapshot: a change shows up as a difference here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from tollgate_google import Settings, create
from tollgate_google.quirks import ROWS, TABLE, UNKNOWN

from gateway.api import GatewayFault
from gateway.testing import make_call, make_target

# thinking (range or levels, ! = cannot be switched off), signatures, sampling, penalties, logprobs, candidates,
# prefill, schema, JSON with tools, mixed tools, VALIDATED, media in results, system, searches, image and page tokens
SNAPSHOT = """
gemini-1.5-pro                 none                            . S P L 8 prefill openapi . . . . sys once 6450 258
gemini-2.0-flash               none                            . S P L 8 prefill openapi . . . . sys once 6450 258
models/gemini-2.0-flash-lite   none                            . S P L 8 prefill openapi . . . . sys once 6450 258
gemini-2.5-flash               budget:1-24576                  . S P L 8 prefill json    . . V . sys once 6450 258
gemini-2.5-flash-preview-05-20 budget:1-24576                  . S - L 8 prefill json    . . V . sys once 6450 258
gemini-2.5-flash-lite          budget:512-24576                . S P L 8 prefill json    . . V . sys once 6450 258
gemini-2.5-flash-lite-preview-09-2025 budget:512-24576         . S - L 8 prefill json    . . V . sys once 6450 258
gemini-2.5-pro                 budget:128-32768!               . S P L 8 prefill json    . . V . sys once 6450 258
gemini-2.5-pro-preview-06-05   budget:128-32768!               . S - L 8 prefill json    . . V . sys once 6450 258
gemini-2.5-flash-image         none                            . S - - 8 prefill json    . . V . sys once 6450 258
gemini-2.5-flash-preview-tts   none                            . S - - 8 prefill json    . . V . sys once 6450 258
google/gemini-3-pro-preview    level:low,high                  G S - - 1 prefill json    J M V R sys each 2240 1120
gemini-3-pro-image-preview     none                            . S - - 1 prefill json    J M V R sys each 2240 1120
gemini-3-flash-preview         level:minimal,low,medium,high   G S - - 1 prefill json    J M V R sys each 2240 1120
gemini-3.1-pro-preview         level:low,medium,high           G S - - 1 prefill json    J M V R sys each 2240 1120
gemini-3.1-flash-lite          level:minimal,low,medium,high   G S - - 1 prefill json    J M V R sys each 2240 1120
gemini-3.5-flash               level:minimal,low,medium,high   G S - - 1 prefill json    J M V R sys each 2240 1120
gemini-3.5-flash-lite          level:minimal,low,medium,high   G - - - 1 -       json    J M V R sys each 2240 1120
gemini-3.6-flash               level:minimal,low,medium,high   G - - - 1 -       json    J M V R sys each 2240 1120
gemini-3.7-flash               level:low,medium,high           G - - - 1 -       json    J M V R sys each 2240 1120
gemini-3.8-flash               level:low,medium,high           G - - - 1 -       json    J M V R sys each 2240 1120
gemini-flash-latest            level:low,medium,high           G - - - 1 -       json    J M V R sys each 2240 1120
gemini-flash-lite-latest       level:minimal,low,medium,high   G - - - 1 -       json    J M V R sys each 2240 1120
gemini-5-novel                 level:low,medium,high           G - - - 1 -       json    J M V R sys each 2240 1120
gemma-3-27b-it                 none                            . S - - 1 prefill openapi . . . . -   once 1120 258
gemma-4-31b-it                 none                            . S - - 1 prefill openapi . . . . sys once 1120 258
tunedModels/mine               none                            . S P L 1 prefill json    . . V . sys once 6450 258
"""


def shown(model: str) -> list[str]:
    q = TABLE.resolve(model)
    thinking = {
        "none": "none",
        "budget": f"budget:{q.least_budget}-{q.most_budget}{'' if q.can_disable else '!'}",
        "level": "level:" + ",".join(q.levels),
    }
    return [
        model,
        thinking[q.thinking],
        "G" if q.signatures else ".",
        "S" if q.sampling else "-",
        "P" if q.penalties else "-",
        "L" if q.logprobs else "-",
        str(q.candidates),
        "prefill" if q.prefill else "-",
        q.schema,
        "J" if q.json_with_tools else ".",
        "M" if q.mixed_tools else ".",
        "V" if q.validated else ".",
        "R" if q.media_in_results else ".",
        "sys" if q.system else "-",
        q.searches,
        str(q.image_tokens),
        str(q.page_tokens),
    ]


@pytest.mark.parametrize("line", SNAPSHOT.strip().splitlines(), ids=lambda line: line.split()[0])
def test_the_resolved_table(line: str) -> None:
    assert shown(line.split()[0]) == line.split()


def test_the_snapshot_covers_every_row() -> None:
    names = [line.split()[0] for line in SNAPSHOT.strip().splitlines()]
    told = {id(TABLE.resolve(name)) for name in names}
    assert {id(quirks) for _, quirks in ROWS} <= told
    assert id(UNKNOWN) in told


def test_the_operator_may_override_a_model(built: Any) -> None:
    changed = TABLE.resolve("gemini-2.5-pro", {"sampling": False, "levels": ["low"]}, None, {"sampling": True})
    assert changed == replace(TABLE.resolve("gemini-2.5-pro"), levels=("low",))
    for wrong in ({"samplings": True}, {"schema": "xml"}, {"most_budget": "many"}):
        with pytest.raises(ValidationError):
            TABLE.resolve("gemini-2.5-pro", wrong)
    out, _ = built({"temperature": 0.3}, model="gemini-3.8-flash", options={"quirks": {"sampling": True}})
    assert out["generationConfig"] == {"temperature": 0.3}
    for options in ({"quirks": {"samplings": True}}, {"quirks": 7}):
        with pytest.raises(GatewayFault, match=r"test/gemini-3\.8-flash"):
            built({}, model="gemini-3.8-flash", options=options)
    provider = create("x", Settings(api_key="k", quirks={"candidates": 4}))
    assert provider.profile(make_target("gemini-3.8-flash")).max_choices == 4
    request = provider.prepare(make_call(), make_target("gemini-3.8-flash")).request
    assert "generationConfig" not in orjson.loads(request.body)
