"""Streams and whole answers of the Responses API that are failures, whatever else they say."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.errors import UpstreamFault
from gateway.wire.responses.decoder import ResponsesEventDecoder, read_response

CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "", "arguments": "{}", "status": "completed"}


def event(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


@pytest.mark.parametrize("item", [CALL, {**CALL, "name": None}, {**CALL, "type": "custom_tool_call", "input": "x"}])
def test_a_call_without_a_name_is_a_fault(item: Any) -> None:
    done = event({"type": "response.output_item.done", "output_index": 0, "item": item})
    named = event({"type": "response.output_item.done", "output_index": 0, "item": {**item, "name": "f"}})
    passed, fault = ResponsesEventDecoder().feed(named + done)
    assert isinstance(passed, bytes)
    assert isinstance(fault, UpstreamFault)
    assert fault.retryable
    with pytest.raises(UpstreamFault):
        read_response(orjson.dumps({"object": "response", "status": "completed", "output": [item]}))


def test_an_answer_that_was_cancelled_is_a_fault_that_tells_what_was_used() -> None:
    used = {"input_tokens": 3, "output_tokens": 4}
    response = {"object": "response", "status": "cancelled", "output": [], "usage": used}
    (fault,) = ResponsesEventDecoder().feed(event({"type": "response.cancelled", "response": response}))
    assert isinstance(fault, UpstreamFault)
    assert fault.usage == used
    with pytest.raises(UpstreamFault):
        read_response(orjson.dumps(response))


@pytest.mark.parametrize("status", ["completed", "incomplete", None])
def test_an_event_that_says_only_that_it_is_done_ends_the_stream(status: str | None) -> None:
    decoder = ResponsesEventDecoder()
    response = {"object": "response", "status": status, "output": []}
    (last,) = decoder.feed(event({"type": "response.done", "response": response}) + event({"type": "x"}))
    assert isinstance(last, bytes)
    assert orjson.loads(last) == {"type": f"response.{status or 'completed'}", "response": response}
    assert decoder.done


def test_what_is_no_response_may_be_tried_again_and_one_without_its_name_is_read() -> None:
    assert read_response(b'{"output": [], "status": "completed"}')["object"] == "response"
    for body in (b'{"detail": "no"}', b'{"object": "list", "output": []}'):
        with pytest.raises(UpstreamFault) as raised:
            read_response(body)
        assert raised.value.retryable
