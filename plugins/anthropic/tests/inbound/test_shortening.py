"""Whole messages that are longer than they may be."""

from __future__ import annotations

from tollgate_anthropic.inbound.shortening import shorten_message


def test_a_message_ends_at_its_limit_and_half_a_call_is_none() -> None:
    content = [
        {"type": "thinking", "thinking": "a thought " * 4, "signature": "s"},
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "x" * 100}},
        {"type": "text", "text": "the answer", "citations": [{"cited_text": "z"}]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ]
    body = {"id": "msg", "content": content, "stop_reason": "tool_use", "stop_sequence": None}
    whole = {**body, "stop_reason": "max_tokens"}
    assert shorten_message(body, 100) == whole
    assert shorten_message(body, 13)["content"] == content[:3]
    half = shorten_message(body, 11)["content"]
    assert half == [*content[:2], {"type": "text", "text": "the "}]
    assert shorten_message(body, 2)["content"] == [{"type": "thinking", "thinking": "a though"}]
    assert shorten_message(body, 0)["content"] == []
