"""What tests hold against OpenAI's published schemas is found wrong also when much like it was found right before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": None, "finish_reason": None}],
}


@pytest.mark.parametrize(
    ("member", "odd"), [("created", ""), ("created", "x"), ("created", 0.5), ("model", -1), ("object", "x")]
)
def test_another_kind_of_value_is_looked_at(pytestconfig: pytest.Config, root: Path, member: str, odd: object) -> None:
    kit = pytestconfig.pluginmanager.get_plugin(str(root / "conftest.py"))

    def problems(chunk: dict[str, object]) -> list[str]:
        found: list[str] = kit.problems_of("/v1/chat/completions", b"data: " + json.dumps(chunk).encode() + b"\n\n")
        return found

    assert problems(CHUNK) == []
    assert problems({**CHUNK, member: odd}) != []
