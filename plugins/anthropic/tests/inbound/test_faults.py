"""Faults in Anthropic's words."""

from __future__ import annotations

import pytest
from tollgate_anthropic.inbound.faults import error_object

from gateway.api import CallerFault


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 200001 tokens.",
            "prompt is too long: 200001 tokens > 128000 maximum",
        ),
        (
            "The input token count (1200001) exceeds the maximum number of tokens allowed (1048576).",
            "prompt is too long: 1200001 tokens > 1048576 maximum",
        ),
        (
            "Your request exceeded model token limit: 262144 (requested: 270001)",
            "prompt is too long: 270001 tokens > 262144 maximum",
        ),
        ("Your input exceeds the context window.", "prompt is too long: Your input exceeds the context window."),
        ("Prompt is too long: 9 > 8", "Prompt is too long: 9 > 8"),
    ],
)
def test_a_full_window_is_told_in_the_words_that_agents_compact_on(said: str, told: str) -> None:
    fault = CallerFault(said, code="context_length_exceeded")
    assert error_object(fault, "req_1")["error"] == {"type": "invalid_request_error", "message": told}


def test_other_faults_keep_their_words() -> None:
    assert (
        error_object(CallerFault("max_tokens: 200000 > 100000"), "r")["error"]["message"]
        == "max_tokens: 200000 > 100000"
    )
