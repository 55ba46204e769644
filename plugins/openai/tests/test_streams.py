"""Streams: what comes out, errors inside them, and ends of every kind."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.api import Fault, StreamItem, UpstreamFault, UpstreamReply
from gateway.testing import (
    all_splits,
    chunk,
    huge_event,
    load_transcript,
    make_call,
    make_target,
    openai_completion,
    openai_stream,
    sse,
)

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
KEY = "test-key-0123456789"


def decode(*pieces: bytes) -> tuple[list[StreamItem], bool]:
    decoder = (
        OpenAIProvider("test", OpenAISettings.model_validate({"api_key": KEY}))
        .prepare(make_call(), make_target())
        .reader.open_stream()
    )
    items: list[StreamItem] = []
    for piece in pieces:
        items += decoder.feed(piece)
    return items + decoder.finish(), decoder.done


def texts(items: list[StreamItem]) -> str:
    found = ""
    for item in items:
        assert isinstance(item, bytes)
        for choice in orjson.loads(item)["choices"]:
            found += choice["delta"].get("content") or ""
    return found


def test_a_recorded_stream_comes_out_as_its_own_bytes() -> None:
    transcript = load_transcript(TRANSCRIPTS / "gpt-5-vision-stream.json")
    items, done = decode(transcript.body)
    payloads = [line[6:] for line in transcript.body.split(b"\n") if line.startswith(b"data: {")]
    assert done
    assert items == payloads
    assert len(payloads) > 20


ERRORS = [
    b'{"error":{"message":"boom","type":"server_error","param":null,"code":"x"}}',
    b'{"type":"error","error":{"message":"boom","type":"server_error"}}',
    b'{"type":"error","code":"x","message":"boom","param":null,"sequence_number":3}',
    b'{"object":"error","message":"boom","code":500}',
    b'{"error": "boom"}',
    b'{"message":"boom"}',
    b'{"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"error"}],"error":{"code":502,"message":"boom"}}',
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", ["", "error"])
def test_errors_inside_a_stream(error: bytes, name: str) -> None:
    begun = openai_stream("Hello", done=False, with_usage=False)[:2]
    body = b"".join([*begun, sse(error, name), *openai_stream("never seen")])
    for _, pieces in all_splits(body):
        items, done = decode(*pieces)
        assert texts(items[:-1]) == "Hello"
        assert isinstance(items[-1], UpstreamFault)
        assert items[-1].status >= 500
        assert "boom" in items[-1].detail
        assert not done


def test_a_model_that_writes_about_errors_is_not_an_error() -> None:
    said = chunk({"content": 'The body is {"error": {"message": "x"}}, type "error".'})
    odd = chunk({"content": "x", "error": "a member of the delta"}, error=None)
    items, done = decode(sse(said), sse(odd), *openai_stream("!"))
    assert done
    assert items[:2] == [orjson.dumps(said), orjson.dumps(odd)]


@pytest.mark.parametrize("payload", [b"not json", b"[1]", b'"x"', b"{", b'{"choices": [', b'{"a":1}}', b"NaN"])
def test_events_that_are_no_objects(payload: bytes) -> None:
    items, _ = decode(sse(payload), *openai_stream("never seen"))
    assert len(items) == 1
    assert isinstance(items[0], UpstreamFault)
    assert items[0].code == "upstream_invalid_response"


def test_unknown_events_travel_on() -> None:
    event = b'{"object":"something.new","id":"a"}'
    items, done = decode(sse(event), *openai_stream("x"))
    assert items[0] == event
    assert done


def test_comments_names_and_line_ends() -> None:
    body = b": PROCESSING\r\n\r\nevent: chunk\r\nid: 1\r\ndata:" + orjson.dumps(chunk({"content": "a"})) + b"\r\n\r\n"
    for _, pieces in all_splits(body + b"data: [DONE]\r\n\r\n"):
        items, done = decode(*pieces)
        assert texts(items) == "a"
        assert done


def test_nothing_after_the_end_mark_counts() -> None:
    items, done = decode(*openai_stream("a"), sse(b'{"error":{"message":"late"}}'))
    assert done
    assert not any(isinstance(item, Fault) for item in items)


def test_a_last_event_without_its_blank_line() -> None:
    last = sse(chunk({"content": "b"}))
    assert texts(decode(sse(chunk({"content": "a"})), last[:-1])[0]) == "ab"
    assert texts(decode(sse(chunk({"content": "a"})), last[:-4])[0]) == "a"
    assert decode(sse(chunk({})), b"data: [DONE]")[1]
    assert not decode(sse(chunk({})), b"data: [DONE")[1]


def test_a_very_large_event_comes_whole() -> None:
    items, _ = decode(huge_event(17 * 1024 * 1024))
    assert len(items[0]) > 17 * 1024 * 1024


def test_a_whole_answer_is_not_touched() -> None:
    of = OpenAIProvider("test", OpenAISettings())
    given = {**openai_completion("Hi", reasoning_content="hm"), "novel": [1]}
    assert (
        of.prepare(make_call(), make_target()).reader.read_reply(UpstreamReply(200, {}, orjson.dumps(given))).body
        == given
    )


def test_an_error_with_status_200_is_an_error() -> None:
    of = OpenAIProvider("test", OpenAISettings())
    for error in ERRORS[:5]:
        with pytest.raises(UpstreamFault):
            of.prepare(make_call(), make_target()).reader.read_reply(UpstreamReply(200, {}, error))


def test_a_refused_key_is_not_the_callers_key() -> None:
    of = OpenAIProvider("test", OpenAISettings.model_validate({"api_key": KEY}))
    body = orjson.dumps({"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}})
    fault = of.prepare(make_call(), make_target()).reader.read_fault(UpstreamReply(401, {}, body))
    assert fault.status == 502
    assert KEY not in fault.message + fault.detail
