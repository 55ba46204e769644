"""The table of what models tolerate. The snapshot makes every change of a resolved row visible."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tollgate_openai.quirks import (
    AT_OPENAI,
    COMPATIBLE,
    ELSEWHERE,
    Quirks,
    compatible_quirks,
    openai_quirks,
    reasoning_is_on,
)

# model: limit, when it reasons, unsupported parameters, efforts (* = whatever comes), renamed roles
SNAPSHOT = """
gpt-3.5-turbo           either                never       -      -                            -
gpt-4                   either                never       -      -                            -
gpt-4-turbo             either                never       -      -                            -
gpt-4o                  either                never       -      -                            -
gpt-4o-mini             either                never       -      -                            -
ft:gpt-4o-mini:acme::x  either                never       -      -                            -
gpt-4o-audio-preview    either                never       -      -                            -
gpt-4o-search-preview   either                never       temperature -                       -
gpt-4.1                 either                never       -      -                            -
gpt-4.1-mini            either                never       -      -                            -
gpt-4.1-nano            either                never       -      -                            -
chatgpt-4o-latest       either                never       -      -                            -
o1-mini                 max_completion_tokens always      -      -                            developer>user,system>user
o1-preview              max_completion_tokens always      -      -                            developer>user,system>user
o1                      max_completion_tokens always      -      low,medium,high              -
o3-mini                 max_completion_tokens always      -      low,medium,high              -
o3                      max_completion_tokens always      stop   low,medium,high              -
o4-mini                 max_completion_tokens always      stop   low,medium,high              -
gpt-5                   max_completion_tokens always      stop   minimal,low,medium,high      -
gpt-5-2025-08-07        max_completion_tokens always      stop   minimal,low,medium,high      -
gpt-5-mini              max_completion_tokens always      stop   minimal,low,medium,high      -
gpt-5-nano              max_completion_tokens always      stop   minimal,low,medium,high      -
gpt-5-pro               max_completion_tokens always      stop   high                         -
gpt-5-codex             max_completion_tokens always      stop   low,medium,high              -
gpt-5-chat-latest       max_completion_tokens never       -      -                            -
gpt-5.1                 max_completion_tokens on_request  stop   none,low,medium,high         -
gpt-5.1-2025-11-13      max_completion_tokens on_request  stop   none,low,medium,high         -
gpt-5.1-chat-latest     max_completion_tokens always      stop   medium                       -
gpt-5.1-codex           max_completion_tokens always      stop   low,medium,high              -
gpt-5.1-codex-max       max_completion_tokens always      stop   low,medium,high,xhigh        -
gpt-5.2                 max_completion_tokens on_request  stop   none,low,medium,high,xhigh   -
gpt-5.2-pro             max_completion_tokens always      stop   medium,high,xhigh            -
gpt-5.4-mini            max_completion_tokens on_request  stop   none,low,medium,high,xhigh   -
gpt-5.5                 max_completion_tokens by_default  stop   *                            -
gpt-5.6                 max_completion_tokens by_default  stop   *                            -
gpt-6                   max_completion_tokens always      stop   *                            -
"""


def _row(name: str, quirks: Quirks) -> list[str]:
    efforts = "*" if quirks.efforts is None else ",".join(quirks.efforts) or "-"
    roles = ",".join(f"{old}>{new}" for old, new in quirks.roles) or "-"
    return [name, quirks.limit, quirks.reasons, ",".join(quirks.unsupported) or "-", efforts, roles]


@pytest.mark.parametrize("line", SNAPSHOT.strip().splitlines(), ids=lambda line: line.split()[0])
def test_resolved_rows(line: str) -> None:
    expected = line.split()
    assert _row(expected[0], openai_quirks(expected[0])) == expected


def test_compatible_servers_know_the_old_spelling() -> None:
    assert _row("any", COMPATIBLE) == ["any", "max_tokens", "never", "-", "*", "developer>system"]


@pytest.mark.parametrize(
    ("model", "effort", "on"),
    [
        ("gpt-4o", "high", False),
        ("o3", None, True),
        ("gpt-5.1", None, False),
        ("gpt-5.1", "none", False),
        ("gpt-5.1", "low", True),
        ("gpt-5.5", None, True),
        ("gpt-5.5", "none", False),
    ],
)
def test_when_a_model_reasons(model: str, effort: str | None, on: bool) -> None:
    assert reasoning_is_on(openai_quirks(model), effort) is on


def test_overrides_replace_single_members() -> None:
    row = ELSEWHERE.resolve("llama3.2")
    assert row is COMPATIBLE
    changes = {"limit": "max_completion_tokens", "roles": {"b": "y", "a": "x"}, "unsupported": ["seed"]}
    changed = ELSEWHERE.resolve("llama3.2", changes, {"roles": {"developer": "user"}})
    assert changed == replace(row, limit="max_completion_tokens", roles=(("developer", "user"),), unsupported=("seed",))
    assert ELSEWHERE.resolve("llama3.2", changes).roles == (("a", "x"), ("b", "y"))


@pytest.mark.parametrize("wrong", [{"limits": "either"}, {"limit": "some"}, {"roles": {"a": 1}}, {"roles": ["a"]}])
def test_wrong_overrides_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        AT_OPENAI.resolve("gpt-4.1", wrong)


@pytest.mark.parametrize("name", ["gpt-5-mini", "openai/gpt-5.1", "o3", "azure/o4-mini"])
def test_openais_models_elsewhere_keep_their_key_for_the_limit(name: str) -> None:
    found = compatible_quirks(name)
    assert found.limit == "max_completion_tokens"
    assert found.roles == COMPATIBLE.roles, "the server is another one all the same"


@pytest.mark.parametrize("name", ["llama3.2", "qwen/qwen3", "gpt-oss-120b", "olmo-2"])
def test_other_models_take_what_copies_of_the_dialect_take(name: str) -> None:
    assert compatible_quirks(name) is COMPATIBLE


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4.1-mini", "chatgpt-4o-latest"])
def test_openais_older_models_elsewhere_differ_in_the_length_of_ids_alone(name: str) -> None:
    assert compatible_quirks(name) == replace(COMPATIBLE, longest_call_id=40)
