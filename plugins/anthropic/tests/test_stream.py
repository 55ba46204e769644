"""The decoder on streams that no recording shows."""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_anthropic import AnthropicProvider, Settings
from tollgate_anthropic.stream import MessageDecoder

from gateway.api import Fault
from gateway.testing import make_call, make_target, parsed, sse

START = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 5, "output_tokens": 1}}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
STOP = {"type": "message_stop"}


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **what: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": what}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def decoder() -> MessageDecoder:
    made = (
        AnthropicProvider("test", Settings())
        .prepare(make_call(model="anthropic/claude"), make_target())
        .reader.open_stream()
    )
    assert isinstance(made, MessageDecoder)
    return made


def read(*events: dict[str, Any], finish: bool = False) -> tuple[list[Any], MessageDecoder]:
    reader = decoder()
    items = reader.feed(b"".join(sse(event, str(event.get("type"))) for event in events))
    return parsed(items + (reader.finish() if finish else [])), reader


def deltas(items: list[Any]) -> list[dict[str, Any]]:
    return [item["choices"][0]["delta"] for item in items if item["choices"]]


def test_a_whole_stream_event_by_event() -> None:
    items, reader = read(
        START, start(0, type="text", text=""), delta(0, type="text_delta", text="Hi"), stop(0), END, STOP
    )
    envelope = {"id": "msg_1", "object": "chat.completion.chunk", "created": 1_750_000_000, "model": "anthropic/claude"}
    assert items[:2] == [
        {
            **envelope,
            "choices": [
                {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
            ],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 0,
                "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            },
        },
        {**envelope, "choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": None, "finish_reason": None}]},
    ]
    (choice,) = items[2]["choices"]
    assert choice == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
        "native_finish_reason": "end_turn",
    }
    assert items[3] == {
        **envelope,
        "choices": [],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        },
    }
    assert len(items) == 4
    assert reader.done
    assert reader.feed(sse(START)) == []


def test_unknown_events_blocks_and_deltas_are_survived_and_kept() -> None:
    items, reader = read(
        START,
        {"type": "ping"},
        {"type": "weather_report", "index": 0},
        start(0, type="hologram", shape="cube", deltas=7),
        delta(0, type="hologram_delta", glow=1),
        stop(0),
        start(1, type="text", text=""),
        delta(1, type="sparkle_delta"),
        delta(1, type="text_delta", text="Hi"),
        stop(1),
        END,
        STOP,
    )
    assert reader.done
    assert deltas(items)[1:3] == [
        {
            "reasoning_details": [
                {
                    "index": 0,
                    "type": "anthropic.block",
                    "block": {"type": "hologram", "shape": "cube", "deltas": [{"type": "hologram_delta", "glow": 1}]},
                }
            ]
        },
        {"content": "Hi"},
    ]


def test_calls_are_numbered_without_gaps_between_other_blocks() -> None:
    items, _ = read(
        START,
        start(0, type="thinking", thinking="Hm", signature=""),
        delta(0, type="thinking_delta", thinking="m."),
        delta(0, type="signature_delta", signature="si"),
        delta(0, type="signature_delta", signature="g"),
        stop(0),
        start(3, type="tool_use", id="a", name="f", input={}),
        start(7, type="tool_use", id="b", name="g", input={"x": 1}),
        delta(3, type="input_json_delta", partial_json=""),
        delta(3, type="input_json_delta", partial_json='{"y"'),
        delta(3, type="input_json_delta", partial_json=":2}"),
        stop(7),
        stop(3),
        {**END, "delta": {"stop_reason": "tool_use"}},
        STOP,
    )
    calls = [entry for change in deltas(items) for entry in change.get("tool_calls", [])]
    assert [(entry["index"], entry.get("id"), entry["function"]["arguments"]) for entry in calls] == [
        (0, "a", ""),
        (1, "b", ""),
        (0, None, '{"y"'),
        (0, None, ":2}"),
        (1, None, '{"x":1}'),
    ]
    assert [change["reasoning_content"] for change in deltas(items) if "reasoning_content" in change] == ["Hm", "m."]
    details = [entry for change in deltas(items) for entry in change.get("reasoning_details", [])]
    assert details == [{"index": 0, "type": "anthropic.thinking", "text": "Hmm.", "signature": "sig"}]
    assert items[-2]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_reasons_to_stop(reason: str, finish: str) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "No."}
    given = {"stop_reason": reason, "stop_sequence": "END", "stop_details": details}
    items, _ = read(START, {**END, "delta": given}, STOP)
    choice = items[1]["choices"][0]
    assert choice["finish_reason"] == finish
    assert choice["native_finish_reason"] == reason
    assert choice["stop_sequence"] == "END"
    assert choice["stop_details"] == details
    assert choice["delta"].get("refusal") == ("No." if reason == "refusal" else None)


def test_citations_of_documents_have_no_address() -> None:
    cited = {"type": "page_location", "cited_text": "x", "document_index": 0, "start_page_number": 1}
    web = {"type": "web_search_result_location", "url": "https://example.com", "title": "T", "cited_text": "c"}
    items, _ = read(
        START,
        start(0, type="text", text="Hi. ", citations=[]),
        stop(0),
        start(1, type="text", text=""),
        delta(1, type="citations_delta", citation=cited),
        delta(1, type="citations_delta", citation=web),
        delta(1, type="citations_delta", citation=None),
        delta(1, type="text_delta", text="See."),
        stop(1),
        END,
        STOP,
    )
    (notes,) = [change["annotations"] for change in deltas(items) if "annotations" in change]
    spot = {"url": "https://example.com", "title": "T", "cited_text": "c", "start_index": 4, "end_index": 8}
    assert notes == [{"index": 0, "type": "url_citation", "url_citation": spot}]
    assert items[-2]["choices"][0]["delta"]["citations"] == [{**cited, "index": 0, "start_index": 4, "end_index": 8}]


def test_the_same_start_twice_is_ignored() -> None:
    items, reader = read(START, START, END, STOP)
    assert len(items) == 3
    assert reader.done


def test_later_counts_replace_earlier_ones_and_a_stale_split_is_left_out() -> None:
    first = {"input_tokens": 3, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 0, "output_tokens": 1}
    begun = {**START, "message": {"id": "m", "usage": {**first, "cache_creation": {"ephemeral_5m_input_tokens": 10}}}}
    later = {
        "input_tokens": 17,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_search_requests": 2},
    }
    items, _ = read(begun, {**END, "usage": None}, {"type": "message_delta", "delta": {}, "usage": later}, STOP)
    assert items[-1]["usage"] == {
        "prompt_tokens": 67,
        "completion_tokens": 9,
        "total_tokens": 76,
        "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 4},
        "server_tool_use_details": {"web_search_requests": 2},
    }


def test_a_cut_after_the_answer_still_gives_its_usage() -> None:
    items, reader = read(START, END, finish=True)
    assert not reader.done
    assert items[-1]["usage"]["completion_tokens"] == 7


def test_a_cut_inside_the_answer_tells_of_the_input_only() -> None:
    items, reader = read(START, start(0, type="text", text="Hi"), finish=True)
    assert not reader.done
    (told,) = [item["usage"] for item in items if "usage" in item]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (5, 0), "what stands there of the output is a guess"


def test_a_last_event_without_its_blank_line_counts() -> None:
    reader = decoder()
    items = reader.feed(sse(START) + sse(END) + b'data: {"type":"message_stop"}') + reader.finish()
    assert reader.done
    assert isinstance(items[-1], dict)
    assert items[-1]["usage"]["prompt_tokens"] == 5


def test_deltas_without_their_start_are_understood() -> None:
    items, _ = read(delta(0, type="text_delta", text="Hi"), END, STOP)
    assert deltas(items)[:2] == [{"role": "assistant", "content": ""}, {"content": "Hi"}]
    assert items[0]["id"] == "req_test"


@pytest.mark.parametrize("usage", [None, 7, {}, {"input_tokens": -1, "output_tokens": 1}, {"input_tokens": "9"}])
def test_counts_that_cannot_be_believed_are_none(usage: Any) -> None:
    items, reader = read({**START, "message": {"id": "m", "usage": usage}}, {**END, "usage": usage}, STOP)
    assert reader.done
    assert not any("usage" in item for item in items)


@pytest.mark.parametrize("payload", [b"{", b'{"a":' * 2000, b"\xff"])
def test_an_event_that_is_no_json_is_a_fault(payload: bytes) -> None:
    items = decoder().feed(b"data: " + payload + b"\n\n")
    assert len(items) == 1
    assert isinstance(items[0], Fault)
    assert items[0].code == "upstream_invalid_response"


def test_a_block_too_deep_to_be_sent_on_is_a_fault() -> None:
    deep: Any = 1
    for _ in range(245):
        deep = [deep]
    items, _ = read(START, start(0, type="hologram", deep=deep), stop(0), END, STOP)
    assert not any(isinstance(item, Fault) for item in items)
    raw = b'data: {"type":"content_block_start","index":0,"content_block":{"type":"x","d":' + b"[" * 300 + b"]" * 300
    items = decoder().feed(raw + b"}}\n\n")
    assert isinstance(items[-1], Fault)


def test_a_call_is_told_at_once_though_its_name_is_the_beginning_of_another() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("get", "get_weather")]
    call = make_call({"messages": [{"role": "user", "content": "Hi"}], "tools": tools})
    reader = AnthropicProvider("test", Settings()).prepare(call, make_target()).reader
    events = (START, start(0, type="tool_use", id="toolu_1", name="get", input={}))
    items = reader.open_tally(1).add(reader.open_stream().feed(b"".join(sse(event) for event in events)))
    assert [told["function"]["name"] for each in deltas(items) for told in each.get("tool_calls", ())] == ["get"]
