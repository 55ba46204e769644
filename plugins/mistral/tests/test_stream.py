"""Streams: what passes as bytes, what is translated, and ends of every kind."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_mistral import Settings, create

from gateway.api import Fault, StreamItem, UpstreamFault, UpstreamReply, fold_stream
from gateway.testing import all_splits, chunk, make_call, make_target, parsed, sse

PROVIDER = create("test", Settings())
DONE = b"data: [DONE]\n\n"


def delta(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    return sse(chunk(delta, finish=finish, **more))


def think(*texts: str, **more: Any) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text} for text in texts], **more}


def decode(*events: bytes, body: dict[str, Any] | None = None) -> list[StreamItem]:
    """The items, the same at every split."""
    seen: list[list[StreamItem]] = []
    for _, pieces in all_splits(b"".join(events), range(2)):
        decoder = PROVIDER.prepare(make_call(body), make_target()).reader.open_stream()
        items: list[StreamItem] = []
        for piece in pieces:
            items += decoder.feed(piece)
        seen.append(items + decoder.finish())
    plain = [[str(item) if isinstance(item, Fault) else item for item in items] for items in seen]
    assert all(items == plain[0] for items in plain)
    return seen[0]


def fold(items: list[StreamItem]) -> dict[str, Any]:
    return fold_stream(parsed(items))


def message(items: list[StreamItem]) -> dict[str, Any]:
    found: dict[str, Any] = fold(items)["choices"][0]["message"]
    return found


def whole(content: Any, body: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The same content as a whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": "stop"}
    reply = UpstreamReply(200, {}, orjson.dumps({"id": "c", "choices": [choice]}))
    found: dict[str, Any] = (
        PROVIDER.prepare(make_call(body), make_target()).reader.read_reply(reply).body["choices"][0]["message"]
    )
    return found


def test_plain_text_passes_as_its_bytes() -> None:
    events = [delta({"role": "assistant", "content": ""}), delta({"content": 'he wrote "content":[ and "usage":{'})]
    assert decode(*events, DONE) == [event[6:-2] for event in events]


def test_thoughts_become_reasoning_and_one_entry_to_give_back() -> None:
    items = decode(
        delta({"role": "assistant", "content": ""}),
        delta({"content": [think("a")]}),
        delta({"content": ""}),
        delta({"content": [think("b", "c")]}),
        delta({"content": "d"}),
        delta({"content": "e"}),
        delta({}, "stop"),
        DONE,
    )
    assert [item["choices"][0]["delta"] for item in items[1:5] if isinstance(item, dict)] == [
        {"reasoning_content": "a"},
        {"content": ""},
        {"reasoning_content": "bc"},
        {"content": "d", "reasoning_details": [{"index": 0, "type": "mistral.thinking", "text": "abc"}]},
    ]
    assert isinstance(items[5], bytes)
    assert message(items)["content"] == "de"


@pytest.mark.parametrize(
    "ending",
    [
        [delta({"content": [think(closed=True)]})],
        [delta({"content": [{"type": "text", "text": "x"}]})],
        [delta({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]})],
        [delta({}, "length")],
        [delta({"content": [think("z", closed=True), {"type": "text", "text": "x"}]})],
    ],
)
def test_a_thought_ends_with_whatever_comes_next(ending: list[bytes]) -> None:
    found = message(decode(delta({"content": [think("a")]}), *ending, DONE))
    assert len(found["reasoning_details"]) == 1
    assert found["reasoning_details"][0]["text"].startswith("a")


def test_whole_and_streamed_say_the_same() -> None:
    chunks = [
        think("a", signature="s"),
        {"type": "text", "text": "b"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "c"}, {"type": "reference", "reference_ids": [1]}]},
        {"type": "reference", "reference_ids": [7]},
        {"type": "tool_file", "file_id": "x"},
        {"type": "text", "text": "d"},
        {"type": "tool_reference", "url": "https://example.com", "title": "E", "tool": "web_search"},
    ]
    events = [delta({"content": [part]}) for part in chunks]
    streamed = message(decode(*events, delta({}, "stop"), DONE))
    assert streamed == whole(chunks)
    assert streamed["content"] == "bd"
    assert streamed["reasoning_content"] == "ac"
    assert [entry["type"] for entry in streamed["reasoning_details"]] == [
        "mistral.thinking",
        "mistral.thinking",
        "mistral.block",
    ]
    assert streamed["reasoning_details"][0] == {"index": 0, "type": "mistral.thinking", "text": "a", "signature": "s"}
    assert streamed["reasoning_details"][1]["thinking"] == chunks[2]["thinking"]
    assert streamed["citations"] == [{"type": "reference", "reference_ids": [7], "index": 0}]
    assert streamed["annotations"][0]["url_citation"] == {"url": "https://example.com", "title": "E"}


def test_citations_lead_to_the_sources_in_tool_results() -> None:
    results = {"0": {"url": "https://example.com/0", "title": "Zero"}, "1": {"url": "https://example.com/1"}, "2": {}}
    body = {
        "messages": [
            {"role": "user", "content": "?"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "a", "content": orjson.dumps(results).decode()},
        ]
    }
    chunks = [
        {"type": "text", "text": "\u00fcber "},
        {"type": "text", "text": "alles"},
        {"type": "reference", "reference_ids": [0, 2]},
        {"type": "reference", "reference_ids": ["1"]},
        {"type": "text", "text": "."},
    ]
    events = [delta({"content": part.get("text", [part])}) for part in chunks]
    streamed = message(decode(*events, delta({}, "stop"), DONE, body=body))
    assert streamed == whole(chunks, body)
    span = {"start_index": 0, "end_index": 10}
    assert streamed["annotations"] == [
        {
            "index": 0,
            "type": "url_citation",
            "url_citation": {"url": "https://example.com/0", "title": "Zero", **span},
        },
        {"index": 1, "type": "url_citation", "url_citation": {"url": "https://example.com/1", "title": "", **span}},
    ]
    assert streamed["citations"] == [{"type": "reference", "reference_ids": [2], "index": 0, **span}]


def call(index: Any, identity: Any, name: str, arguments: Any) -> dict[str, Any]:
    found = {"index": index, "id": identity, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in found.items() if value is not ...}


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([[call(0, "a", "f", "{}"), call(1, "b", "g", '{"x":1}')]], [("a", "f", "{}"), ("b", "g", '{"x":1}')]),
        ([[call(0, "a", "f", "{}"), call(0, "b", "g", "{}")]], [("a", "f", "{}"), ("b", "g", "{}")]),
        ([[call(0, "a", "f", "{}")], [call(0, "b", "f", "{}")]], [("a", "f", "{}"), ("b", "f", "{}")]),
        ([[call(..., "a", "f", "{}"), call(..., "b", "g", "{}")]], [("a", "f", "{}"), ("b", "g", "{}")]),
        ([[call(0, "a", "f", "")], [call(0, None, "", '{"x"')], [call(0, "null", "", ":1}")]], [("a", "f", '{"x":1}')]),
        ([[call(0, "a", "f", "")], [call(0, "a", "f", "{}")]], [("a", "f", "{}")]),
        ([[call(..., "a", "f", "")], [call(..., ..., "", "{}")]], [("a", "f", "{}")]),
        ([[call(0, "a", "f", {"x": [1]})]], [("a", "f", '{"x":[1]}')]),
        ([[call(3, "a", "f", None)]], [("a", "f", "")]),
    ],
)
def test_tool_calls_are_told_apart(pieces: list[Any], expected: list[Any]) -> None:
    items = decode(*(delta({"tool_calls": piece}) for piece in pieces), delta({}, "tool_calls"), DONE)
    deltas = [
        piece for item in items if isinstance(item, dict) for piece in item["choices"][0]["delta"].get("tool_calls", [])
    ]
    added: dict[int, list[str]] = {}
    for piece in deltas:  # as a client adds it up, without any wisdom
        held = added.setdefault(piece["index"], ["", "", ""])
        held[0] += piece.get("id") or ""
        held[1] += piece["function"].get("name") or ""
        held[2] += piece["function"].get("arguments") or ""
    assert [tuple(held) for _, held in sorted(added.items())] == expected
    assert sorted(added) == list(range(len(expected)))
    assert [entry["function"]["name"] for entry in message(items)["tool_calls"]] == [name for _, name, _ in expected]


def test_calls_without_an_id_get_one() -> None:
    found = whole(
        "", tool_calls=[{"id": "null", "function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "g"}}]
    )
    ids = [entry["id"] for entry in found["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(len(identity) == 9 for identity in ids)
    items = decode(delta({"tool_calls": [call(0, "null", "f", "{}"), call(1, None, "f", "{}")]}), DONE)
    assert len({entry["id"] for entry in message(items)["tool_calls"]}) == 2


def test_choices_do_not_mix() -> None:
    def both(first: Any, second: Any) -> bytes:
        event = chunk({})
        event["choices"] = [
            {"index": 0, "delta": first, "finish_reason": None},
            {"index": 1, "delta": second, "finish_reason": None},
        ]
        return sse(event)

    items = decode(
        both({"content": [think("a")]}, {"content": "x"}),
        both({"content": "b"}, {"content": [think("y")]}),
        both({}, {"content": "z"}),
        DONE,
    )
    first, second = (choice["message"] for choice in fold(items)["choices"])
    assert (first["content"], first["reasoning_content"]) == ("b", "a")
    assert (second["content"], second["reasoning_content"]) == ("xz", "y")
    assert [entry["text"] for entry in second["reasoning_details"]] == ["y"]


def test_ends() -> None:
    assert fold(decode(delta({"content": "a"}), delta({}, "model_length"), DONE))["choices"][0]["finish_reason"] == (
        "length"
    )
    items = decode(delta({"content": "a"}), delta({"content": "b"}, "error"), delta({"content": "never"}), DONE)
    fault = items.pop()
    assert isinstance(fault, UpstreamFault)
    assert fault.code == "upstream_failed"
    assert message(items)["content"] == "ab"
    reply = {"choices": [{"message": {"content": "a"}, "finish_reason": "error"}]}
    with pytest.raises(UpstreamFault):
        PROVIDER.prepare(make_call(), make_target()).reader.read_reply(UpstreamReply(200, {}, orjson.dumps(reply)))


def test_errors_inside_a_stream() -> None:
    error = {"object": "error", "message": "Service unavailable.", "type": "internal_server_error", "code": "3700"}
    items = decode(delta({"content": "a"}), sse(error), delta({"content": "never"}))
    assert isinstance(items[-1], UpstreamFault)
    assert len(items) == 2


def test_usage_is_translated_in_the_last_chunk() -> None:
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 20, "num_cached_tokens": 4}
    details = {"audio_tokens": 10}
    items = decode(delta({}, "stop", usage={**counts, "prompt_tokens_details": details}), DONE)
    assert fold(items)["usage"] == {
        **counts,
        "prompt_tokens": 19,
        "prompt_tokens_details": {"audio_tokens": 10, "cached_tokens": 4},
    }


def test_nesting_that_cannot_be_written_again_is_a_fault() -> None:
    deep = b"[" * 300 + b"]" * 300
    event = b'data: {"choices":[{"index":0,"delta":{"content":[' + deep + b"]}}]}\n\n"
    items = decode(event, delta({"content": "never"}))
    assert len(items) == 1
    assert isinstance(items[0], UpstreamFault)
    with pytest.raises(UpstreamFault):
        PROVIDER.prepare(make_call(), make_target()).reader.read_reply(
            UpstreamReply(200, {}, b'{"choices":[{"message":{"content":' + deep + b"}}]}")
        )


def test_half_a_chunk_is_a_fault() -> None:
    items = decode(b'data: {"choices":[{"delta":{"content":[}}]}\n\n')
    assert isinstance(items[0], UpstreamFault)
    assert items[0].code == "upstream_invalid_response"


@pytest.mark.parametrize(
    ("pieces", "names"),
    [
        ([("c1", "f", '{"a":1}'), (None, None, "")], ["f"]),  # one more that says nothing, under another index
        ([("c1", None, ""), (None, "f", '{"a":1}')], ["f"]),  # a name that comes late
        ([(None, "f", '{"a":1}'), (None, "g", '{"a":1}')], ["f", "g"]),  # calls without ids
    ],
)
def test_calls_of_servers_that_copied_the_dialect(pieces: list[Any], names: list[str]) -> None:
    events = [
        delta({"tool_calls": [{"index": 0 if at == 0 or name else 5, "id": identity, "function": function}]})
        for at, (identity, name, text) in enumerate(pieces)
        if (function := {"name": name, "arguments": text})
    ]
    calls = message(decode(*events, delta({}, "tool_calls"), DONE))["tool_calls"]
    assert [call["function"] for call in calls] == [{"name": name, "arguments": '{"a":1}'} for name in names]
    assert len({call["id"] for call in calls}) == len(names)
