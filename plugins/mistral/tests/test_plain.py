"""Transcriptions and moderations at Mistral."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_mistral import MistralProvider, Settings
from tollgate_mistral.plain import operations_of

from gateway.api import Attempt, CallerFault, Fault, Upload, UpstreamReply, read_form
from gateway.testing import HOSTILE_BODIES, make_call, make_target

SECRET = "key-secret-value"
FILE = Upload(b"RIFF", "a.wav", "audio/wav", 1.0)


def prepare(operation: str, body: dict[str, Any], **more: Any) -> tuple[Attempt, Any]:
    call = make_call(body, **more)
    call.operation = operation
    return MistralProvider("test", Settings(api_key=SECRET)).prepare(call, make_target("voxtral-mini")), call


def read(attempt: Attempt, value: Any) -> Any:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return attempt.reader.read_reply(UpstreamReply(200, {"content-type": "application/json"}, body))


@pytest.mark.parametrize(
    ("upstream", "operations"),
    [
        ("mistral-large-2512", {"chat"}),
        ("mistral-embed", {"embeddings"}),
        ("codestral-embed", {"embeddings"}),
        ("mistral-moderation-latest", {"moderations"}),
        ("voxtral-mini-latest", {"chat", "transcriptions"}),
        ("voxtral-mini-transcribe-3-0", {"transcriptions"}),
        ("my-own", {"chat", "embeddings", "transcriptions", "moderations"}),
    ],
)
def test_what_models_do(upstream: str, operations: set[str]) -> None:
    assert operations_of(upstream) == operations


ANSWER = {
    "model": "voxtral-mini-2507",
    "text": "Hello.",
    "language": "en",
    "segments": [{"text": "Hello.", "start": 0.0, "end": 1.0}],
    "usage": {"prompt_audio_seconds": 12, "prompt_tokens": 4, "total_tokens": 300, "completion_tokens": 6},
}


def test_a_recording() -> None:
    body = {"file": FILE, "model": "m", "language": "en", "temperature": 0.5, "prompt": "x", "response_format": "json"}
    attempt, call = prepare("transcriptions", body)
    assert attempt.request.url.endswith("/audio/transcriptions")
    fields = read_form(attempt.request.headers["content-type"], attempt.request.body)
    assert dict(fields) == {
        "model": "voxtral-mini",
        "file": Upload(b"RIFF", "a.wav", "audio/wav"),
        "language": "en",
        "temperature": "0.5",
    }
    assert list(call.dropped) == ["prompt"]
    answer = read(attempt, ANSWER)
    assert answer.body == {"text": "Hello.", "usage": {"type": "duration", "seconds": 12}}
    assert answer.usage is None


def test_segments() -> None:
    attempt, _ = prepare("transcriptions", {"file": FILE, "response_format": "verbose_json"})
    assert ("timestamp_granularities", "segment") in read_form(
        attempt.request.headers["content-type"], attempt.request.body
    )
    answer = read(attempt, ANSWER).body
    assert (answer["task"], answer["duration"], answer["segments"]) == ("transcribe", 12.0, ANSWER["segments"])


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"response_format": "srt"}, "response_format"),
        ({"timestamp_granularities": ["word", "segment"]}, "timestamp_granularities"),
    ],
)
def test_what_is_refused(more: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        prepare("transcriptions", {"file": FILE, **more})
    assert caught.value.param == param
    with pytest.raises(CallerFault, match="stream"):
        prepare("transcriptions", {"file": FILE, "stream": True}, stream=True)


def test_verdicts() -> None:
    attempt, _ = prepare("moderations", {"input": ["a", {"type": "text", "text": "b"}]})
    assert attempt.request.url.endswith("/moderations")
    assert orjson.loads(attempt.request.body) == {"model": "voxtral-mini", "input": ["a", "b"]}
    results = [{"categories": {"sexual": True, "pii": False}}, {"categories": {"sexual": False}}]
    answer = read(attempt, {"id": "1", "results": results}).body
    assert [verdict["flagged"] for verdict in answer["results"]] == [True, False]
    with pytest.raises(CallerFault) as caught:
        prepare("moderations", {"input": [{"type": "image_url", "image_url": {"url": "https://a"}}]})
    assert caught.value.param == "input[0]"


@pytest.mark.parametrize("operation", ["transcriptions", "moderations"])
@pytest.mark.parametrize("body", [*HOSTILE_BODIES, b'{"text":5}', b'{"results":[5]}', b'{"results":{}}'])
def test_nonsense_is_a_fault(operation: str, body: bytes) -> None:
    attempt, _ = prepare(operation, {"file": FILE, "input": "x"})
    with pytest.raises(Fault):
        read(attempt, body)
