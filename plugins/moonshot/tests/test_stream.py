"""Streams and whole answers: usage in its places, errors inside, hostile shapes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_moonshot import Settings, create

from gateway.api import Fault, StreamItem, UpstreamFault, UpstreamReply, fold_stream
from gateway.testing import all_splits, chunk, make_call, make_target, parsed, sse

PROVIDER = create("test", Settings())
DONE = b"data: [DONE]\n\n"
COUNTS = {"prompt_tokens": 19, "completion_tokens": 5, "total_tokens": 24, "cached_tokens": 10}
SAID = {**COUNTS, "prompt_tokens_details": {"cached_tokens": 10}}


def decode(*events: bytes) -> list[StreamItem]:
    """The items, the same at every split."""
    seen: list[list[StreamItem]] = []
    for _, pieces in all_splits(b"".join(events), range(2)):
        decoder = PROVIDER.prepare(make_call(), make_target()).reader.open_stream()
        items: list[StreamItem] = []
        for piece in pieces:
            items += decoder.feed(piece)
        seen.append(items + decoder.finish())
    plain = [[str(item) if isinstance(item, Fault) else item for item in items] for items in seen]
    assert all(items == plain[0] for items in plain)
    return seen[0]


def fold(items: list[StreamItem]) -> dict[str, Any]:
    return fold_stream(parsed(items))


def ending(usage: Any) -> bytes:
    last = chunk({}, finish="stop")
    last["choices"][0]["usage"] = usage
    return sse(last)


@pytest.mark.parametrize(
    "events",
    [
        [ending(COUNTS)],
        [sse(chunk({}, finish="stop", usage=COUNTS))],
        [sse(chunk({}, finish="stop")), sse({**chunk({}), "choices": [], "usage": COUNTS})],
        [ending(COUNTS), sse({**chunk({}), "choices": [], "usage": COUNTS})],
        [ending({"prompt_tokens": 1}), sse({**chunk({}), "choices": [], "usage": COUNTS})],
    ],
)
def test_usage_stands_at_the_top_wherever_it_came(events: list[bytes]) -> None:
    items = decode(sse(chunk({"content": "a"})), *events, DONE)
    found = fold(items)
    assert found["usage"] == SAID
    assert all("usage" not in choice for item in items if isinstance(item, dict) for choice in item["choices"])


def test_text_and_thoughts_pass_as_their_bytes() -> None:
    events = [
        sse(chunk({"reasoning_content": "hm", "role": "assistant"})),
        sse(chunk({"content": 'it said "usage":{'}, usage=None)),
        sse(chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get", "arguments": "{}"}}]})),
    ]
    assert decode(*events, DONE) == [event[6:-2] for event in events]


def test_errors_inside_a_stream() -> None:
    error = {"error": {"type": "engine_overloaded_error", "message": "The engine is currently overloaded"}}
    items = decode(sse(chunk({"content": "a"})), sse(error), ending(COUNTS))
    assert len(items) == 2
    assert isinstance(items[1], UpstreamFault)
    assert items[1].code == "upstream_overloaded"


def test_nesting_that_cannot_be_written_again_is_a_fault() -> None:
    deep = b"[" * 300 + b"]" * 300
    items = decode(b'data: {"choices":[{"index":0,"delta":{},"usage":{"a":' + deep + b"}}]}\n\n", ending(COUNTS))
    assert len(items) == 1
    assert isinstance(items[0], UpstreamFault)
    with pytest.raises(UpstreamFault):
        PROVIDER.prepare(make_call(), make_target()).reader.read_reply(
            UpstreamReply(200, {}, b'{"choices":[{"message":{"content":' + deep + b"}}]}")
        )
    assert isinstance(decode(b'data: {"choices":[{"usage":{}}\n\n')[0], dict | UpstreamFault)


def test_half_a_chunk_is_a_fault() -> None:
    items = decode(b'data: {"choices":[{"usage":{}]}\n\n')
    assert isinstance(items[0], UpstreamFault)
    assert items[0].code == "upstream_invalid_response"


def test_whole_answers_have_openais_members() -> None:
    body = {"id": "a", "choices": [{"message": {"content": "x", "tool_calls": None, "novel": 1}, "usage": COUNTS}]}
    found = (
        PROVIDER.prepare(make_call(), make_target()).reader.read_reply(UpstreamReply(200, {}, orjson.dumps(body))).body
    )
    message = {"content": "x", "novel": 1, "role": "assistant", "refusal": None}
    assert found.pop("object") == "chat.completion"
    assert isinstance(found.pop("created"), int)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    assert found == {"id": "a", "choices": [choice], "usage": SAID}
    for usage in (7, [], {"prompt_tokens": "many"}, {"prompt_tokens": 1, "completion_tokens": 2, "cached_tokens": -1}):
        body = {"choices": [{"message": {}}], "usage": usage}
        found = (
            PROVIDER.prepare(make_call(), make_target())
            .reader.read_reply(UpstreamReply(200, {}, orjson.dumps(body)))
            .body
        )
        assert "prompt_tokens_details" not in (found["usage"] if isinstance(found["usage"], dict) else {})
