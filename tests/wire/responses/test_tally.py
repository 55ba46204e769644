"""What a streamed response comes to: deltas, and what only the ends of items tell, each once."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Fault
from gateway.wire.chat.tally import ChatTally
from gateway.wire.responses.decoder import ResponsesEventDecoder
from gateway.wire.responses.tally import ResponsesTally


def tallied(*events: dict[str, Any], pretty: bool = False) -> ResponsesTally:
    tally = ResponsesTally()
    option = orjson.OPT_INDENT_2 if pretty else None
    data: list[Any] = [orjson.dumps(event, option=option) for event in events]
    assert tally.add(list(data)) == data
    return tally


@pytest.mark.parametrize(
    "kind", ["output_text", "refusal", "reasoning_text", "reasoning_summary_text", "function_call_arguments",
             "custom_tool_call_input"],
)  # fmt: skip
@pytest.mark.parametrize("pretty", [False, True])
def test_deltas_are_counted_by_their_bytes(kind: str, pretty: bool) -> None:
    event = {"sequence_number": 1, "delta": 'ä"}\n', "type": f"response.{kind}.delta", "output_index": 0}
    tally = tallied(event, pretty=pretty)
    assert (tally.text_bytes, tally.chunks) == (5, 1)


@given(
    st.lists(
        st.tuples(
            st.text(max_size=8) | st.sampled_from(['"}', "\\", "\n", '"delta":"']),
            st.integers(0, 1),
            st.integers(0, 10**6),
            st.sampled_from([{}, {"obfuscation": "aB"}, {"logprobs": []}]),
        ),
        max_size=10,
    ),
    st.sampled_from(["compact", "spaced", "ascii", "reversed"]),
)
def test_deltas_count_in_every_spelling(parts: list[Any], how: str) -> None:
    tally = ResponsesTally()
    told = [0, 0]
    for text, place, number, more in parts:
        event = {"type": "response.output_text.delta", "sequence_number": number, "item_id": f"m{place}",
                 "output_index": place, "delta": text, **more}  # fmt: skip
        if how == "reversed":
            event = dict(reversed(event.items()))
        separators = (" , ", " : ") if how == "spaced" else (",", ":")
        tally.add([json.dumps(event, separators=separators, ensure_ascii=how == "ascii").encode()])
        told[place] += len(text.encode())
    assert tally.text_bytes == sum(told)
    assert tally.chunks == sum(bool(part[0]) for part in parts)
    assert [tally._told.get(place, 0) for place in (0, 1)] == told


def test_the_end_of_an_item_tells_only_what_was_not_told_before() -> None:
    item = {"type": "function_call", "name": "look", "arguments": '{"a":1}'}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    assert tallied(done).text_bytes == 11
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a":1}'}
    assert tallied(delta, done).text_bytes == 11
    said = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}, {"type": "refusal", "refusal": "No"}]}
    assert tallied({**done, "item": said}).text_bytes == 4


def test_texts_told_whole_count_where_no_delta_told_them() -> None:
    """Servers that send no deltas, and those whose last object alone says something: SDKs are told all of it."""
    done = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hello"}
    second = {"type": "response.output_text.done", "output_index": 0, "content_index": 1, "text": " you"}
    texts = [{"type": "output_text", "text": "Hello"}, {"type": "output_text", "text": " you"}]
    item = {"type": "message", "content": texts}
    ended = {"type": "response.output_item.done", "output_index": 0, "item": item}
    last = {"type": "response.completed", "response": {"status": "completed", "output": [item]}}
    assert tallied(delta).text_bytes == 5
    for told in ([done], [delta, done]):
        tally = tallied(*told)
        assert (tally.text_bytes, tally.chunks) == (5, 1)
        for rest in ([second], [second, ended], [ended], [last], [second, ended, last], [ended, last]):
            assert (tallied(*told, *rest).text_bytes, tallied(*told, *rest).chunks) == (9, 2)
    alone = tallied(last)
    assert (alone.text_bytes, alone.chunks, alone.text_tokens > 0) == (9, 1, True)
    assert tallied(done, {**ended, "item": {**item, "content": texts[:1]}}, second).text_bytes == 9  # in the next item


def test_arguments_told_whole_count_as_such() -> None:
    call = {"type": "function_call", "name": "look", "arguments": '{"a":1}'}
    done = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"a":1}'}
    last = {"type": "response.completed", "response": {"status": "completed", "output": [call]}}
    assert tallied(done).text_bytes == 7
    assert tallied(done, last).text_bytes == tallied(last).text_bytes == 11


def test_the_end() -> None:
    response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [],
                "usage": {"input_tokens": 1, "output_tokens": 2}}  # fmt: skip
    tally = tallied({"type": "response.incomplete", "response": response})
    assert (tally.complete, tally.finish_reason, tally.usage) == (True, "length", response["usage"])


def test_a_cut() -> None:
    tally = tallied({"type": "response.created"})
    tally.cut()
    assert (tally.complete, tally.finish_reason) == (False, "length")


@pytest.mark.parametrize("tally", [ResponsesTally(), ChatTally(1)])
def test_what_a_failed_answer_had_used_counts(tally: ResponsesTally | ChatTally) -> None:
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    failed = {"status": "failed", "output": [], "error": {"code": "server_error", "message": "x"}, "usage": usage}
    event = {"type": "response.failed", "response": failed, "sequence_number": 1}
    items = ResponsesEventDecoder().feed(b"data: " + orjson.dumps(event) + b"\n\n")
    assert isinstance(items[-1], Fault)
    tally.add(list(items))
    assert tally.usage == usage


def test_what_only_opens_an_answer() -> None:
    begun = [{"type": "response.created"}, {"type": "response.in_progress"}]
    assert tallied(*begun).opening
    item = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": []}}
    assert not tallied(*begun, item).opening
    assert not tallied(*begun, item, begun[1]).opening
