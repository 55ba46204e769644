"""A stream of an upstream that speaks Responses itself, ended by the gateway: whole, numbered on, and incomplete."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.responses.relays import NativeStream
from gateway.wire.responses.objects import new_response

from .responses_kit import check_stream, read_stream

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def events() -> list[dict[str, Any]]:
    theirs = new_response({"input": "Hi"}, response_id="resp_theirs", model="m", now=1)
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    found: list[dict[str, Any]] = [
        {"type": "response.created", "response": theirs},
        {"type": "response.in_progress", "response": theirs},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **at, "part": part},
        {"type": "response.output_text.delta", **at, "delta": "Hello", "logprobs": []},
        {"type": "response.output_text.delta", **at, "delta": " world", "logprobs": []},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(found)]


@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_it_ends_incomplete(count: int) -> None:
    ours = new_response({"input": "Hi"}, response_id="resp_ours", model="ours/m", now=1)
    relay = NativeStream(ours, None, None)
    sent, fault = relay.feed([orjson.dumps(event) for event in events()[:count]])
    assert fault is None
    relay.cut()
    found = read_stream(sent + relay.finish(USAGE))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    final = check_stream(found, published=False) if count > 5 else found[-1]["response"]
    assert found[-1]["type"] == "response.incomplete"
    assert (final["status"], final["incomplete_details"], final["error"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
        None,
    )
    assert final["usage"]["output_tokens"] == 2
    assert relay.response == final
