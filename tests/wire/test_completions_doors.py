"""What the parameters of chat are called at `POST /completions`; see `tests/wire/bridge/test_doors.py`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.completions import chat_of, validate_completion

Json = dict[str, Any]

DOOR = "at /completions"


def row(parameter: str, said: Json, hub: Json, how: str = "passed", note: str = "") -> dict[str, Any]:
    """A statement: `said` at this door is `hub` in chat."""

    def check() -> None:
        body = {"prompt": "Hi", **said}
        validate_completion(body)
        chat, fault = chat_of(body)
        assert fault is None
        assert {key: chat.get(key) for key in hub} == hub

    return {"parameter": parameter, "provider": DOOR, "how": how, "note": note, "check": check}


SAME: Json = {
    "temperature": 0.5,
    "top_p": 0.5,
    "frequency_penalty": 1,
    "presence_penalty": 1,
    "n": 2,
    "stop": ["x"],
    "seed": 7,
    "logit_bias": {"1": 2},
    "max_tokens": 9,
    "metadata": {"a": "b"},
    "safety_identifier": "s",
    "user": "u",
}

matrix_rows: list[dict[str, Any]] = [
    *(row(name, {name: value}, {name: value}) for name, value in SAME.items()),
    row("messages", {}, {"messages": [{"role": "user", "content": "Hi"}]}, "mapped", "prompt"),
    row("logprobs", {"logprobs": 0}, {"logprobs": True, "top_logprobs": None}, "mapped", "a number"),
    row("top_logprobs", {"logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, "mapped", "logprobs"),
]


@pytest.mark.parametrize("entry", matrix_rows, ids=lambda entry: entry["parameter"])
def test_rows(entry: dict[str, Any]) -> None:
    entry["check"]()
