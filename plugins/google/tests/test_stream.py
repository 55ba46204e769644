"""Streamed answers in every shape that Google sends, and some that it should not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_google import Settings, create
from tollgate_google.inbound.native import NativeDecoder
from tollgate_google.reading import FINISH

from gateway.api import Fault, UpstreamFault, UpstreamReply, fold_stream
from gateway.testing import all_splits, make_call, make_target

USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}


def event(*parts: Any, reason: str | None = None, usage: Any = USAGE, index: int = 0, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": index, **more}
    if reason:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + orjson.dumps(each) + b"\r\n\r\n" for each in events)


def read(*events: Any) -> tuple[list[Any], Any]:
    decoder = create("x", Settings()).prepare(make_call(), make_target()).reader.open_stream()
    items = decoder.feed(sse(*events))
    return items + decoder.finish(), decoder


def whole(*events: Any) -> dict[str, Any]:
    """The same answer, read from a stream and as a whole: both must say the same."""
    items, decoder = read(*events)
    assert decoder.done
    folded = fold_stream([item for item in items if isinstance(item, dict)])
    reply = (
        create("x", Settings())
        .prepare(make_call(), make_target())
        .reader.read_reply(UpstreamReply(200, {}, orjson.dumps(list(events))))
        .body
    )
    for completion in (folded, reply):
        for choice in completion["choices"]:
            choice["message"]["content"] = choice["message"]["content"] or None
    assert folded == reply
    return reply


def fault_of(*events: Any) -> Fault:
    items, decoder = read(*events)
    assert isinstance(items[-1], Fault)
    assert not decoder.done
    with pytest.raises(Fault) as caught:
        create("x", Settings()).prepare(make_call(), make_target()).reader.read_reply(
            UpstreamReply(200, {}, orjson.dumps(list(events)))
        )
    assert (caught.value.code, caught.value.message) == (items[-1].code, items[-1].message)
    return caught.value


def test_chunks_come_in_openais_order() -> None:
    items, _ = read(event({"text": "Hm", "thought": True}), event({"text": "Hi"}), event({"text": "!"}, reason="STOP"))
    deltas = [item["choices"][0]["delta"] for item in items[:-1]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm"},
        {"content": "Hi"},
        {"content": "!"},
        {},
    ]
    assert [item["choices"][0]["finish_reason"] for item in items[:-1]] == [None, None, None, None, "stop"]
    assert items[-1]["choices"] == []
    assert items[-1]["usage"]["total_tokens"] == 12
    assert {item["id"] for item in items} == {"r1"}


def test_usage_is_known_at_every_chunk() -> None:
    """An answer that is cut short is billed for what it was."""
    first = {"promptTokenCount": 5, "candidatesTokenCount": 1, "totalTokenCount": 6, "cachedContentTokenCount": 4}
    items, decoder = read(event({"text": "Hi"}, usage=first))
    assert not decoder.done
    assert items[-1]["usage"]["completion_tokens"] == 1
    assert items[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}


@pytest.mark.parametrize("reason", sorted(name for name, finish in FINISH.items() if finish))
def test_reasons_to_finish(reason: str) -> None:
    (choice,) = whole(event({"text": "Hi"}, reason=reason, finishMessage="Because."))["choices"]
    assert choice["finish_reason"] == FINISH[reason]
    assert choice["native_finish_reason"] == reason
    assert choice["finishMessage"] == "Because."
    assert choice["message"]["content"] == "Hi"
    assert choice["message"]["refusal"] == ("Because." if FINISH[reason] == "content_filter" else None)


def test_an_unknown_reason_is_a_stop() -> None:
    assert whole(event({"text": "Hi"}, reason="NOVEL"))["choices"][0]["finish_reason"] == "stop"
    call = {"functionCall": {"name": "f", "args": {}}}
    assert whole(event(call, reason="STOP"))["choices"][0]["finish_reason"] == "tool_calls"
    assert whole(event(call, reason="MAX_TOKENS"))["choices"][0]["finish_reason"] == "length"


def test_an_unknown_reason_that_speaks_of_what_happened_is_read_so() -> None:
    assert whole(event({"text": "Hi"}, reason="IMAGE_BLOCKED"))["choices"][0]["finish_reason"] == "content_filter"
    assert fault_of(event({"text": "Hi"}, reason="MALFORMED_JSON")).code == "upstream_no_answer"


def test_an_answer_without_content_that_was_filtered_is_a_refusal() -> None:
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH"}]
    said = {"candidates": [{"finishReason": "SAFETY", "index": 0, "safetyRatings": ratings}], "usageMetadata": USAGE}
    (choice,) = whole(said)["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert "SAFETY" in choice["message"]["refusal"]
    assert choice["message"]["content"] is None
    assert choice["safetyRatings"] == ratings


def test_a_blocked_prompt_is_a_refusal() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
        "responseId": "r2",
    }
    completion = whole(blocked)
    (choice,) = completion["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert "PROHIBITED_CONTENT" in choice["message"]["refusal"]
    assert completion["promptFeedback"] == blocked["promptFeedback"]
    assert completion["usage"]["prompt_tokens"] == 9
    assert completion["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_a_broken_call_is_a_fault_whatever_was_said(reason: str) -> None:
    for parts in ([], [{"text": "I will look."}]):
        fault = fault_of(event(*parts, reason=reason))
        assert isinstance(fault, UpstreamFault)
        assert (fault.status, fault.code, fault.retryable) == (502, "upstream_malformed_tool_call", True)


def test_a_call_without_a_name_is_a_fault() -> None:
    nameless = {"functionCall": {"name": "", "args": {}}}
    assert fault_of(event(nameless, reason="STOP")).code == "upstream_invalid_response"
    own = NativeDecoder().feed(sse(event(nameless, reason="STOP")))
    assert isinstance(own[-1], UpstreamFault)
    assert not isinstance(NativeDecoder().feed(sse(event({"functionCall": {}}, reason="STOP")))[-1], UpstreamFault)


@pytest.mark.parametrize("reason", ["OTHER", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"])
def test_breaking_off_is_a_fault_whatever_was_said(reason: str) -> None:
    assert fault_of(event(reason=reason)).code == "upstream_no_answer"
    assert fault_of(event({"text": "Hi"}, reason=reason)).code == "upstream_no_answer"


@pytest.mark.parametrize("reason", ["NO_IMAGE", "IMAGE_OTHER"])
def test_words_in_the_place_of_a_picture_are_an_answer(reason: str) -> None:
    assert fault_of(event(reason=reason)).code == "upstream_no_answer"
    assert whole(event({"text": "Hi"}, reason=reason))["choices"][0]["finish_reason"] == "stop"


def test_no_candidates_at_all() -> None:
    items, decoder = read({"usageMetadata": USAGE, "responseId": "r"})
    assert items == []
    assert not decoder.done
    with pytest.raises(UpstreamFault) as caught:
        create("x", Settings()).prepare(make_call(), make_target()).reader.read_reply(
            UpstreamReply(200, {}, orjson.dumps({"usageMetadata": USAGE}))
        )
    assert (caught.value.code, caught.value.retryable) == ("upstream_invalid_response", True)


def test_older_models_finish_in_every_event() -> None:
    said = whole(event({"text": "a"}, reason="STOP"), event({"text": "b"}, reason="STOP"))
    assert said["choices"][0]["message"]["content"] == "ab"


def test_usage_after_the_end_counts() -> None:
    late = {"promptTokenCount": 5, "candidatesTokenCount": 9, "totalTokenCount": 14}
    said = whole(event({"text": "a"}, reason="STOP"), {"usageMetadata": late, "responseId": "r1"})
    assert said["usage"]["completion_tokens"] == 9


def test_several_candidates() -> None:
    items, _ = read(
        {
            "candidates": [
                event({"text": "a"}, index=0)["candidates"][0],
                event({"text": "b"}, index=1)["candidates"][0],
            ]
        },
        event({"text": "B"}, index=1, reason="MAX_TOKENS"),
        event({"functionCall": {"name": "f", "args": {}}}, index=0, reason="STOP"),
    )
    completion = fold_stream(items)
    assert [choice["message"]["content"] for choice in completion["choices"]] == ["a", "bB"]
    assert [choice["finish_reason"] for choice in completion["choices"]] == ["tool_calls", "length"]


def test_calls_get_ids_that_stay_the_same() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": 1}}}
    named = {"functionCall": {"name": "g", "id": "own", "args": {}}}
    first = whole(event(call, call, named, reason="STOP"))["choices"][0]["message"]["tool_calls"]
    again = whole(event(call, call, named, reason="STOP"))["choices"][0]["message"]["tool_calls"]
    assert first == again
    assert len({entry["id"] for entry in first}) == 3
    assert first[2]["id"] == "own"
    assert [entry["function"]["arguments"] for entry in first] == ['{"a":1}', '{"a":1}', "{}"]
    items, _ = read(event(call), event(call, named, reason="STOP"))
    deltas = [c for item in items[:-1] for c in item["choices"][0]["delta"].get("tool_calls", [])]
    assert [(entry["index"], "id" in entry) for entry in deltas] == [
        (0, True),
        (0, False),
        (1, True),
        (1, False),
        (2, True),
        (2, False),
    ]


def piece(*partial: dict[str, Any], more: bool = True, **call: Any) -> dict[str, Any]:
    made = {**call, **({"partialArgs": list(partial)} if partial else {}), **({"willContinue": True} if more else {})}
    return {"functionCall": made}


def at(path: str, **value: Any) -> dict[str, Any]:
    return {"jsonPath": path, **value}


def test_arguments_in_pieces() -> None:
    said = whole(
        event(piece(name="f", id="c")),
        event(piece(at("$.s", stringValue='He said "', willContinue=True))),
        event(piece(at("$.s", stringValue='hi"\n'))),
        event(piece(at("$.n", numberValue=3.0), at("$.x", numberValue=1.5), at("$.b", boolValue=False))),
        event(piece(at("$.z", nullValue="NULL_VALUE"), at("$.o.list[0].k", stringValue="v", willContinue=True))),
        event(piece(at("$.o.list[1].k", stringValue=""), at("$.o.list[1]['m n']", numberValue=2))),
        event(piece(at("$.o.end", stringValue="x", willContinue=True))),
        event(piece(more=False)),
        event(piece(name="g", more=False), reason="STOP"),
    )
    first, second = said["choices"][0]["message"]["tool_calls"]
    assert orjson.loads(first["function"]["arguments"]) == {
        "s": 'He said "hi"\n',
        "n": 3,
        "x": 1.5,
        "b": False,
        "z": None,
        "o": {"list": [{"k": "v"}, {"k": "", "m n": 2}], "end": "x"},
    }
    assert second["function"] == {"name": "g", "arguments": "{}"}


def test_a_call_in_pieces_without_an_end_is_closed() -> None:
    said = whole(
        event(piece(name="f")), event(piece(at("$.a", stringValue="x", willContinue=True)), reason="MAX_TOKENS")
    )
    assert said["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":"x"}'


@pytest.mark.parametrize(
    "partial",
    [
        [at("$.a", numberValue=1), at("$.a", numberValue=2)],
        [at("$.a.b", numberValue=1), at("$.c", numberValue=2), at("$.a.d", numberValue=3)],
        [at("$.a[1]", numberValue=1)],
        [at("$.a[0]", numberValue=1), at("$.a.b", numberValue=1)],
        [at("$", numberValue=1)],
        [at("$..a", numberValue=1)],
        [at("a", numberValue=1)],
        [{"numberValue": 1}],
        [at("$" + ".a" * 100, numberValue=1)],
    ],
)
def test_pieces_that_cannot_be_put_together_are_a_fault(partial: list[Any]) -> None:
    assert fault_of(event(piece(name="f")), event(piece(*partial))).code == "upstream_invalid_response"


def test_images_and_unknown_parts() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thoughtSignature": "s"}
    novel = {"hologram": {"x": 1}, "thoughtSignature": "t"}
    message = whole(event({"text": "See"}, image, novel, reason="STOP"))["choices"][0]["message"]
    assert message["images"] == [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}]
    assert message["reasoning_details"] == [
        {
            "index": 0,
            "type": "google.thought_signature",
            "signature": "s",
            "part": "image",
            "image": 0,
            "at": 3,
            "calls": 0,
        },
        {"index": 1, "type": "google.part", "part": novel, "at": 3, "calls": 0},
    ]


def test_what_stands_beside_a_text_is_about_it_and_keeps_it_from_nobody() -> None:
    part = {"text": "Hello", "partMetadata": {"a": 1}}
    assert whole(event(part, reason="STOP"))["choices"][0]["message"]["content"] == "Hello"
    thought = {**part, "thought": True}
    assert whole(event(thought, part, reason="STOP"))["choices"][0]["message"]["reasoning_content"] == "Hello"


def test_log_probabilities() -> None:
    result = {
        "chosenCandidates": [{"token": "H\u00e9", "logProbability": -0.5, "tokenId": 7}],
        "topCandidates": [{"candidates": [{"token": "Ha", "logProbability": -1}]}],
    }
    (choice,) = whole(event({"text": "H\u00e9"}, reason="STOP", logprobsResult=result))["choices"]
    assert choice["logprobs"]["content"] == [
        {
            "token": "H\u00e9",
            "logprob": -0.5,
            "bytes": [72, 195, 169],
            "top_logprobs": [{"token": "Ha", "logprob": -1.0, "bytes": [72, 97]}],
        }
    ]


def test_every_split_is_the_same() -> None:
    body = sse(
        event({"text": "\u4f60\u597d \U0001f600"}),
        event({"functionCall": {"name": "f", "args": {"a": "\u00e9"}}, "thoughtSignature": "s"}),
        event({"text": ""}, reason="STOP"),
    )
    seen = []
    for _, pieces in all_splits(body):
        decoder = create("x", Settings()).prepare(make_call(), make_target()).reader.open_stream()
        items: list[Any] = []
        for each in pieces:
            items += decoder.feed(each)
        seen.append(items + decoder.finish())
        assert decoder.done
    assert all(items == seen[0] for items in seen)


def test_a_last_event_without_its_blank_line_counts_and_half_of_one_does_not() -> None:
    body = sse(event({"text": "Hi"}, reason="STOP")).rstrip()
    for data, done in ((body, True), (body[:-20], False), (body[:-20] + b"}", False)):
        decoder = create("x", Settings()).prepare(make_call(), make_target()).reader.open_stream()
        decoder.feed(data)
        items = decoder.finish()
        assert decoder.done is done
        assert not any(isinstance(item, Fault) for item in items)
        assert decoder.finish() == []


@pytest.mark.parametrize("payload", [b"{", b'{"a":' * 2000, b"\xff"])
def test_an_event_that_is_no_json_is_a_fault(payload: bytes) -> None:
    (fault,) = (
        create("x", Settings())
        .prepare(make_call(), make_target())
        .reader.open_stream()
        .feed(b"data: " + payload + b"\n\n")
    )
    assert isinstance(fault, Fault)
    assert fault.code == "upstream_invalid_response"


def test_errors_wrapped_in_a_list() -> None:
    (fault,) = (
        create("x", Settings())
        .prepare(make_call(), make_target())
        .reader.open_stream()
        .feed(sse([{"error": {"code": 429, "message": "Please retry in 3s.", "status": "RESOURCE_EXHAUSTED"}}]))
    )
    assert isinstance(fault, Fault)
    assert (fault.status, fault.retry_after) == (429, 3)


def test_a_part_too_deep_to_be_sent_on_is_a_fault() -> None:
    deep: Any = 1
    for _ in range(247):
        deep = [deep]
    raw = b'data: {"candidates":[{"content":{"parts":[{"novel":' + orjson.dumps(deep) + b"}]}}]}\n\n"
    items = create("x", Settings()).prepare(make_call(), make_target()).reader.open_stream().feed(raw)
    assert isinstance(items[-1], Fault)
    for item in items[:-1]:
        orjson.dumps(item)


def test_a_call_is_told_before_its_arguments_though_its_name_is_the_beginning_of_another() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("get", "get_weather")]
    call = make_call({"messages": [{"role": "user", "content": "Hi"}], "tools": tools})
    reader = create("x", Settings()).prepare(call, make_target()).reader
    said = sse(event({"functionCall": {"name": "get", "args": {"a": 1}}}))
    items = reader.open_tally(1).add(reader.open_stream().feed(said))
    deltas = [item["choices"][0]["delta"] for item in items if isinstance(item, dict)]
    told = [one["function"]["arguments"] for delta in deltas for one in delta.get("tool_calls", ())]
    assert told == ["", '{"a":1}']
