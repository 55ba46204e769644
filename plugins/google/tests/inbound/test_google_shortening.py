"""Whole responses that are longer than they may be, in either spelling."""

from __future__ import annotations

from tollgate_google.inbound.shortening import shorten_reply


def test_a_response_ends_at_its_limit_and_half_a_call_is_none() -> None:
    parts = [
        {"text": "a thought ", "thought": True},
        {"text": "the answer"},
        {"function_call": {"name": "f", "args": {}}},
    ]
    candidate = {
        "index": 0,
        "finish_reason": "STOP",
        "content": {"role": "model", "parts": parts},
        "citation_metadata": {},
    }
    body = {"candidates": [candidate, {**candidate, "index": 1}], "usageMetadata": {}}
    ended = [(one["finishReason"], one["content"]["parts"]) for one in shorten_reply(body, 3)["candidates"]]
    assert ended == [("MAX_TOKENS", [parts[0], {"text": "th"}])] * 2
    whole = shorten_reply(body, 50)["candidates"][0]["content"]["parts"]
    assert whole == [*parts[:2], {"functionCall": {"name": "f", "args": {}}}]
    assert shorten_reply(body, 5)["candidates"][0]["content"]["parts"] == parts[:2]
