"""Chat chunks as a message: blocks in order, whatever the order of the deltas."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tollgate_anthropic.inbound.relay import MessagesRelay
from tollgate_anthropic.inbound.stream import message_of

from gateway.api import Fault, StreamItem, UpstreamFault, unseal
from gateway.testing import HOSTILE_VALUES, chunk, make_call, openai_completion, usage

from .kit import fold, read_events

Json = dict[str, Any]

BILLED = {**usage(10, 5, cached=4, reasoning=2), "cost": 7}


def relay_of(*, stops: list[str] | None = None, watch: Any = None) -> MessagesRelay:
    return MessagesRelay(make_call(model="test/model"), "msg_test", stops or [], watch)


def told(*chunks: Json, raw: bool = False, stops: list[str] | None = None) -> list[Json]:
    """The events for these chunks."""
    relay = relay_of(stops=stops)
    items: list[StreamItem] = [orjson.dumps(each) if raw else each for each in chunks]
    out = b""
    for item in items:
        data, fault = relay.feed([item])
        if fault is not None:
            raise fault
        out += data
    return read_events(out + relay.finish(BILLED))


def message(*chunks: Json, **more: Any) -> Json:
    return fold(told(*chunks, **more))


def call(index: int, *, id: str | None = None, name: str | None = None, arguments: str | None = None) -> Json:
    """A chunk with a piece of one tool call."""
    return chunk({"tool_calls": [piece(index, id=id, name=name, arguments=arguments)]})


def piece(index: int | None, *, id: str | None = None, name: str | None = None, arguments: str | None = None) -> Json:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    entry: Json = {"function": function}
    if index is not None:
        entry["index"] = index
    if id is not None:
        entry |= {"id": id, "type": "function"}
    return entry


@pytest.mark.parametrize("raw", [False, True])
def test_text_becomes_one_block(raw: bool) -> None:
    events = told(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": 'lo "wörld"\n'}),
        chunk({}, finish="stop"),
        {"choices": [], "usage": usage(10, 5)},
        raw=raw,
    )
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert fold(events) == {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": "test/model",
        "content": [{"type": "text", "text": 'Hello "wörld"\n'}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
            "cost": 7,
        },
    }


def test_text_leaves_at_once() -> None:
    relay = relay_of()
    relay.feed([chunk({"role": "assistant"})])
    data, _ = relay.feed([orjson.dumps(chunk({"content": "now"}))])
    assert b'"text":"now"' in data
    data, _ = relay.feed([call(0, id="a", name="f", arguments='{"x"')])
    assert b'"partial_json":"{\\"x\\""' in data


def test_thoughts_come_before_the_text_and_carry_what_the_provider_wants_back() -> None:
    detail = {"index": 0, "type": "google.thought_signature", "signature": "abc"}
    found = message(
        chunk({"reasoning_content": "Let me "}),
        chunk({"reasoning_content": "think.", "reasoning_details": [detail]}),
        chunk({"content": "Done."}),
        chunk({}, finish="stop"),
    )
    thinking, text = found["content"]
    assert thinking["type"] == "thinking"
    assert thinking["thinking"] == "Let me think."
    assert unseal(thinking["signature"], "x") == ([detail], "")
    assert text == {"type": "text", "text": "Done."}


def test_thoughts_are_signed_also_when_nobody_signed_them() -> None:
    """Clients leave thoughts without a signature out of the next turn, and some models need theirs back."""
    found = message(chunk({"reasoning": "hm"}), chunk({"content": "ok"}), chunk({}, finish="stop"))
    assert unseal(found["content"][0]["signature"], "x") == ([], "")


def test_details_without_thoughts_have_a_block_of_their_own() -> None:
    detail = {"type": "google.thought_signature", "signature": "abc", "part": "text"}
    kept = chunk({"reasoning_details": [detail]})
    for deltas in ([kept, chunk({"content": "a"})], [chunk({"content": "a", "reasoning_details": [detail]})]):
        opaque, text = message(*deltas, chunk({}, finish="stop"))["content"]
        assert opaque["type"] == "redacted_thinking"
        assert unseal(opaque["data"], "x")[0] == [detail]
        assert text == {"type": "text", "text": "a"}
    blocks = message(chunk({"content": "a"}), kept, call(0, id="c", name="f", arguments="{}"), chunk({}, finish="stop"))
    assert [block["type"] for block in blocks["content"]] == ["text", "redacted_thinking", "tool_use"]


def test_nothing_stands_behind_the_last_text() -> None:
    detail = {"type": "google.thought_signature", "signature": "abc", "part": "text"}
    found = message(chunk({"content": "a"}), chunk({"reasoning_details": [detail]}), chunk({}, finish="stop"))
    assert found["content"] == [{"type": "text", "text": "a"}]


def test_what_is_about_the_text_to_come_stands_before_it_in_a_block_of_its_own() -> None:
    def meant(start: int) -> Json:
        return chunk({"reasoning_details": [{"type": "responses.phase", "phase": "p", "start": start}]})

    made = message(meant(0), chunk({"content": "Hm"}), chunk({"content": "."}), meant(3), chunk({"content": "Four"}))
    assert [block["type"] for block in made["content"]] == ["redacted_thinking", "text", "redacted_thinking", "text"]
    assert [block["text"] for block in made["content"] if block["type"] == "text"] == ["Hm.", "Four"]


def test_members_of_a_call_that_its_upstream_wants_back_are_kept() -> None:
    extra = {"google": {"thought_signature": "sig"}}
    entry = {**piece(0, id="c1", name="f", arguments="{}"), "extra_content": extra}
    opaque, tool = message(chunk({"tool_calls": [entry]}), chunk({}, finish="tool_calls"))["content"]
    (kept,) = unseal(opaque["data"], "x")[0]
    assert kept == {"type": "chat.tool_call", "id": "c1", "members": {"extra_content": extra}}
    assert tool == {"type": "tool_use", "id": "c1", "name": "f", "input": {}}


def test_anthropics_own_details_become_its_blocks_again() -> None:
    block = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "x"}}
    found = message(
        chunk({"reasoning_content": "mm"}),
        chunk({"reasoning_details": [{"index": 0, "type": "anthropic.thinking", "text": "mm", "signature": "REAL"}]}),
        chunk({"reasoning_details": [{"index": 1, "type": "anthropic.redacted_thinking", "data": "DATA"}]}),
        chunk({"reasoning_details": [{"index": 2, "type": "anthropic.block", "block": block}]}),
        chunk({"content": "x"}),
        chunk({}, finish="stop"),
    )
    assert found["content"] == [
        {"type": "thinking", "thinking": "mm", "signature": "REAL"},
        {"type": "redacted_thinking", "data": "DATA"},
        block,
        {"type": "text", "text": "x"},
    ]


def test_calls_follow_each_other() -> None:
    events = told(
        chunk({"content": "Let me look."}),
        call(0, id="a", name="f", arguments=""),
        call(0, arguments='{"x": '),
        call(0, arguments="1}"),
        call(1, id="b", name="g", arguments="{}"),
        chunk({}, finish="tool_calls"),
    )
    found = fold(events)
    assert found["content"] == [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    assert found["stop_reason"] == "tool_use"


def test_interleaved_calls_are_put_in_order() -> None:
    found = message(
        call(0, id="a", name="f", arguments='{"x":'),
        call(1, id="b", name="g", arguments='{"y":'),
        chunk({"content": "meanwhile"}),
        call(0, arguments="1}"),
        call(1, arguments="2}"),
        call(0, arguments=" "),
        chunk({}, finish="tool_calls"),
    )
    assert found["content"] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {"y": 2}},
        {"type": "text", "text": "meanwhile"},
    ]


def test_a_reason_that_speaks_of_calls_needs_one() -> None:
    end = chunk({}, finish="stop")
    end["choices"][0]["native_finish_reason"] = "tool_use"
    assert message(chunk({"content": "Hi"}), end)["stop_reason"] == "end_turn"


def test_two_calls_of_one_number_are_two() -> None:
    found = message(
        call(0, id="a", name="f", arguments="{}"), call(0, id="b", name="f", arguments="{}"), chunk({}, finish="stop")
    )
    assert [block["id"] for block in found["content"]] == ["a", "b"]
    assert found["stop_reason"] == "tool_use"  # whatever the server calls it: an agent has to run them


def test_a_call_may_learn_its_name_later_and_lack_an_id() -> None:
    found = message(call(0, arguments='{"a"'), call(0, name="f", arguments=":1}"), chunk({}, finish="tool_calls"))
    assert found["content"] == [{"type": "tool_use", "id": "toolu_test_0", "name": "f", "input": {"a": 1}}]


def test_a_call_without_arguments_has_an_empty_input() -> None:
    found = message(call(0, id="a", name="f"), call(1, id="b", name="g", arguments=""), chunk({}, finish="tool_calls"))
    assert [block["input"] for block in found["content"]] == [{}, {}]


def test_arguments_after_their_end_are_a_fault() -> None:
    with pytest.raises(UpstreamFault):
        told(call(0, id="a", name="f", arguments="{}"), call(1, id="b", name="g"), call(0, arguments='{"x":1}'))


def test_a_call_without_a_name_is_a_fault() -> None:
    with pytest.raises(UpstreamFault):
        told(call(0, id="a", arguments="{}"), chunk({}, finish="tool_calls"))


@pytest.mark.parametrize(
    ("choice", "stops", "expected"),
    [
        ({"finish_reason": "stop"}, [], ("end_turn", None)),
        ({"finish_reason": "length"}, [], ("max_tokens", None)),
        ({"finish_reason": "content_filter"}, [], ("refusal", None)),
        ({"finish_reason": "something new"}, [], ("end_turn", None)),
        ({"finish_reason": "stop", "stop_reason": "END"}, ["END"], ("stop_sequence", "END")),
        ({"finish_reason": "stop", "stop_reason": "END"}, [], ("end_turn", None)),
        ({"finish_reason": "stop", "native_finish_reason": "pause_turn"}, [], ("pause_turn", None)),
        (
            {"finish_reason": "stop", "native_finish_reason": "stop_sequence", "stop_sequence": "###"},
            ["###"],
            ("stop_sequence", "###"),
        ),
        ({"finish_reason": "stop", "native_finish_reason": "STOP"}, [], ("end_turn", None)),
    ],
)
def test_why_an_answer_ended(choice: Json, stops: list[str], expected: tuple[str, str | None]) -> None:
    found = message({"choices": [{"index": 0, "delta": {"content": "x"}, **choice}]}, stops=stops)
    assert (found["stop_reason"], found["stop_sequence"]) == expected


def test_a_refusal_is_told_and_explained() -> None:
    found = message(chunk({"refusal": "I "}), chunk({"refusal": "won't."}), chunk({}, finish="stop"))
    assert found["content"] == [{"type": "text", "text": "I won't."}]
    assert found["stop_reason"] == "refusal"
    assert found["stop_details"] == {"type": "refusal", "category": None, "explanation": "I won't."}


def test_citations_belong_to_the_text_before_them() -> None:
    cited = {"url": "https://a.example", "title": "A", "start_index": 0}
    note = {"index": 0, "type": "url_citation", "url_citation": cited}
    found = message(chunk({"content": "Sky is blue."}), chunk({"annotations": [note]}), chunk({}, finish="stop"))
    (text,) = found["content"]
    (citation,) = text["citations"]
    assert citation == {
        "type": "web_search_result_location",
        "url": "https://a.example",
        "title": "A",
        "cited_text": "",
        "encrypted_index": "",
    }


def test_citations_of_files_are_citations_of_documents() -> None:
    cited = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 3}
    found = message(chunk({"content": "Yes.", "citations": [cited]}), chunk({}, finish="stop"))
    ((citation,),) = [block["citations"] for block in found["content"]]
    assert (citation["type"], citation["document_title"], citation["file_id"]) == ("char_location", "a.pdf", "f")


def test_a_call_of_a_tool_with_free_text_is_no_failure() -> None:
    custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": 'SELECT "'}}
    more = {"index": 0, "custom": {"input": 'a"'}}
    found = message(chunk({"tool_calls": [custom]}), chunk({"tool_calls": [more]}), chunk({}, finish="tool_calls"))
    (block,) = found["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "sql", {"input": 'SELECT "a"'})


def test_an_answer_that_the_gateway_cuts_ends_for_its_length() -> None:
    relay = relay_of()
    data, _ = relay.feed([chunk({"content": "a"}), call(0, id="a", name="f", arguments='{"x')])
    relay.cut()
    events = read_events(data + relay.finish(BILLED))
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"


def test_a_fault_ends_the_stream_without_an_end() -> None:
    relay = relay_of()
    data, fault = relay.feed([chunk({"content": "a"}), UpstreamFault("broken", status=503, type="overloaded")])
    assert fault is not None
    events = read_events(data + relay.fail(fault, "req_1"))
    assert events[-1] == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "broken"},
        "request_id": "req_1",
    }
    assert "message_delta" not in [event["type"] for event in events]


def test_who_watches_sees_every_chunk() -> None:
    seen: list[Any] = []
    relay = relay_of(watch=seen.append)
    relay.feed([orjson.dumps(chunk({"content": "a"})), chunk({"content": "b"})])
    assert [event["choices"][0]["delta"] for event in seen] == [{"content": "a"}, {"content": "b"}]


@pytest.mark.parametrize("item", [b"nonsense", b"[1]", b"\xff"])
def test_what_is_no_chunk_is_a_fault(item: bytes) -> None:
    _, fault = relay_of().feed([item])
    assert isinstance(fault, UpstreamFault)


def test_the_whole_answer_is_what_the_stream_folds_into() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    completion = openai_completion(
        "Hello", finish="tool_calls", reported=BILLED, tool_calls=calls, reasoning_content="mm", model="test/model"
    )
    streamed = message(
        chunk({"reasoning_content": "mm"}),
        chunk({"content": "Hello"}),
        chunk({"tool_calls": [{**calls[0], "index": 0}]}),
        chunk({}, finish="tool_calls"),
    )
    assert message_of(completion, "msg_test", []) == streamed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ("null", {}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": ', {"INVALID_JSON": '{"a": '}),
        ("[1]", {"INVALID_JSON": "[1]"}),
    ],
)
def test_arguments_that_are_no_object_are_wrapped(arguments: str, expected: Json) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    found = message_of(openai_completion("", tool_calls=calls), "msg_test", [])
    assert found["content"][-1]["input"] == expected


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=lambda value: repr(value)[:20])
def test_hostile_members_raise_nothing_but_faults(value: Any) -> None:
    names = ("content", "tool_calls", "reasoning_content", "reasoning_details", "annotations")
    deltas: list[Json] = [{name: value} for name in names]
    deltas += [{"tool_calls": [{"index": value, "id": value, "function": value, "caller": value, "odd": value}]}]
    deltas += [{"tool_calls": [{"index": 0, "id": "x", "function": {"name": value, "arguments": value}, "odd": value}]}]
    deltas += [{"reasoning_details": [{"type": value, "block": value}]}]
    deltas += [{"reasoning_details": [{"type": "anthropic.block", "block": {"a": value}}]}]
    deltas += [{"annotations": [{"url_citation": {"url": value, "title": value, "x": value}}], "citations": [value]}]
    for delta in deltas:
        relay = relay_of()
        data, fault = relay.feed([{"choices": [{"index": 0, "delta": delta, "finish_reason": value}], "usage": value}])
        assert fault is None or isinstance(fault, Fault)
        if fault is None:
            read_events(data + relay.finish({"prompt_tokens": value}))
        with suppress(UpstreamFault):
            message_of({"choices": [{"message": delta, "finish_reason": value}], "usage": value}, "msg_1", [])
    for completion in ({"choices": value}, {"choices": [value]}, {"choices": [{"message": value}]}):
        with suppress(UpstreamFault):
            message_of(completion, "msg_1", [])


TEXTS = st.text(max_size=4)
CALLS = st.builds(
    piece,
    st.sampled_from([0, 1, 2, None]),
    id=st.sampled_from([None, "a", "b", "c"]),
    name=st.sampled_from([None, "f", "g"]),
    arguments=st.sampled_from([None, "", "{", "}", "{}", '{"a":', "1}", " ", "[1]"]),
)
DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, TEXTS),
    st.builds(lambda text: {"reasoning_content": text}, TEXTS),
    st.builds(lambda text: {"refusal": text}, TEXTS),
    st.builds(lambda calls: {"tool_calls": calls}, st.lists(CALLS, max_size=3)),
    st.just({"reasoning_details": [{"type": "x.detail", "data": "1"}]}),
    st.just({"reasoning_details": [{"type": "anthropic.thinking", "text": "", "signature": "S"}]}),
    st.just({"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}}]}),
)
REASONS = st.sampled_from([None, "stop", "length", "tool_calls"])


@given(st.lists(DELTAS, max_size=12), REASONS)
def test_any_sequence_of_chunks_makes_a_valid_stream(deltas: list[Json], reason: str | None) -> None:
    relay = relay_of()
    out = b""
    for delta in [*deltas, {}]:
        data, fault = relay.feed([chunk(delta, finish=reason if not delta else None)])
        out += data
        if fault is not None:
            read_events(out + relay.fail(fault, "req_1"))
            return
    events = read_events(out + relay.finish(BILLED))
    texts = {"content": "", "reasoning_content": ""}
    for delta in deltas:
        for name in texts:
            texts[name] += delta.get(name, "")
    said = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(d["thinking"] for d in said if d["type"] == "thinking_delta") == texts["reasoning_content"]
    spoken = "".join(d["text"] for d in said if d["type"] == "text_delta")
    assert spoken == "".join(delta.get("content", "") + delta.get("refusal", "") for delta in deltas)
    arguments = [entry["function"].get("arguments") or "" for delta in deltas for entry in delta.get("tool_calls", ())]
    pieces = [d["partial_json"] for d in said if d["type"] == "input_json_delta"]
    if reason is not None:  # a call that never got its name is a fault by then, so none is left out
        assert sorted("".join(pieces).replace(" ", "")) == sorted("".join(arguments).replace(" ", ""))
    _check_order(events)


def _check_order(events: list[Json]) -> None:
    """`fold`, but for inputs that are no JSON."""
    for event in events:
        if event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            event["delta"]["partial_json"] = ""
    starts = [event for event in events if event["type"] == "content_block_start"]
    pieces = [event for event in events if event.get("delta", {}).get("type") != "input_json_delta"]
    assert len(fold(pieces)["content"]) == len(starts)
