"""Members that servers of OpenAI's dialect have added to it, for targets that know none of them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.chat.extensions import without_extensions

BODY = {"model": "m", "messages": [], "temperature": 0.5, "novel": {"a": 1}}


@pytest.mark.parametrize(
    ("given", "effort"),
    [
        ({"reasoning": {"effort": "low"}}, "low"),
        ({"reasoning": {"effort": "none"}}, "none"),
        ({"reasoning": {"enabled": False, "max_tokens": 5000}}, "none"),
        ({"reasoning": {"enabled": True}}, "medium"),
        ({"reasoning": {"max_tokens": 2000}}, "low"),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 40_000}}, "high"),
        ({"thinking": {"type": "enabled"}}, "medium"),
        ({"thinking": {"type": "adaptive"}}, "medium"),
        ({"enable_thinking": False}, "none"),
        ({"enable_thinking": True}, "medium"),
        ({"thinking_budget": 0}, "none"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "none"),
        ({"chat_template_kwargs": {"thinking": True}}, "medium"),
        ({"enable_thinking": False, "chat_template_kwargs": {"enable_thinking": False}}, "none"),
        ({"reasoning_effort": "high", "enable_thinking": True}, "high"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "low", "exclude": False}}, "low"),
    ],
)
def test_what_asks_for_thoughts_is_an_effort(given: dict[str, Any], effort: str) -> None:
    body = {**BODY, **given}
    assert without_extensions(body, ()) == ({**BODY, "reasoning_effort": effort}, [])
    assert without_extensions(body, {"extensions"}) == (body, [])


@pytest.mark.parametrize(
    ("given", "effort", "dropped"),
    [
        ({"reasoning_effort": "high", "enable_thinking": False}, "high", ["enable_thinking"]),
        ({"reasoning_effort": "none", "enable_thinking": True}, "none", ["enable_thinking"]),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "low", ["reasoning"]),
        ({"reasoning": {"effort": "low", "exclude": True}}, "low", ["reasoning.exclude"]),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}}, "low", ["thinking.display"]),
    ],
)
def test_what_an_effort_does_not_say_is_reported(given: dict[str, Any], effort: str, dropped: list[str]) -> None:
    body, told = without_extensions({**BODY, **given}, ())
    assert body == {**BODY, "reasoning_effort": effort}
    assert told == dropped


@pytest.mark.parametrize(
    "given",
    [
        {"top_k": 5},
        {"min_p": 0.1},
        {"repetition_penalty": 1.1},
        {"include_reasoning": False},
        {"reasoning": {"exclude": True}},
        {"reasoning": "high"},
        {"reasoning": {"effort": "a lot"}},
        {"thinking": {"type": "novel"}},
        {"thinking": {"type": ["enabled"]}},
        {"thinking": True},
        {"thinking_budget": "8k"},
        {"chat_template_kwargs": {"enable_thinking": False, "custom": 1}},
        {"guided_json": {}},
    ],
)
def test_what_nobody_else_has_is_left_out_and_reported(given: dict[str, Any]) -> None:
    assert without_extensions({**BODY, **given}, ()) == (BODY, list(given))


@pytest.mark.parametrize(
    "given",
    [
        {"top_k": 0}, {"top_k": -1}, {"min_p": 0.0}, {"repetition_penalty": 1.0}, {"enable_thinking": None},
        {"usage": {"include": True}}, {"include_reasoning": True},
    ],
)  # fmt: skip
def test_what_asks_for_nothing_is_no_loss(given: dict[str, Any]) -> None:
    assert without_extensions({**BODY, **given}, ()) == (BODY, [])


def test_what_a_target_knows_stays() -> None:
    body = {**BODY, "top_k": 5, "thinking": {"type": "disabled"}}
    assert without_extensions(body, {"top_k", "thinking"})[0] is body
    assert without_extensions(BODY, ())[0] is BODY
    assert without_extensions({**body, "min_p": 0.1}, {"top_k", "thinking"}) == (body, ["min_p"])
