"""Images by generateContent and by predict."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from tollgate_google import GoogleProvider, Settings
from tollgate_google.images import operations_of

from gateway.api import Attempt, CallerFault, Fault, Upload, UpstreamFault, UpstreamReply
from gateway.testing import HOSTILE_BODIES, make_call, make_target

SECRET = "key-secret-value"


def prepare(body: dict[str, Any], upstream: str = "gemini-2.5-flash-image", **more: Any) -> Attempt:
    operation = "image_edits" if "image" in body else "images"
    call = make_call({"prompt": "a house", **body}, **more)
    call.operation = operation
    provider = GoogleProvider("test", Settings(api_key=SECRET))
    return provider.prepare(call, make_target(upstream))


def sent(attempt: Attempt) -> dict[str, Any]:
    return orjson.loads(attempt.request.body)


def read(attempt: Attempt, value: Any) -> dict[str, Any]:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return attempt.reader.read_reply(UpstreamReply(200, {"content-type": "application/json"}, body)).body


def candidate(*parts: dict[str, Any], finish: str = "STOP", **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}], **more}


IMAGE = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}


def test_what_models_do() -> None:
    assert operations_of("gemini-2.5-flash") == {"chat"}
    assert operations_of("gemini-3-pro-image-preview") == {"chat", "images", "image_edits"}
    assert operations_of("models/imagen-4.0-generate-001") == {"images"}
    assert operations_of("gemini-embedding-001") == operations_of("text-embedding-004") == {"embeddings"}


def test_a_request_to_gemini() -> None:
    attempt = prepare({"size": "1536x1024"})
    assert attempt.request.url.endswith("/models/gemini-2.5-flash-image:generateContent")
    assert sent(attempt) == {
        "contents": [{"role": "user", "parts": [{"text": "a house"}]}],
        "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "3:2"}},
    }


@pytest.mark.parametrize(
    ("size", "config"),
    [
        ("auto", None),
        ("1024x1024", {"aspectRatio": "1:1"}),
        ("1024x1792", {"aspectRatio": "9:16"}),
        ("2048x2048", {"aspectRatio": "1:1", "imageSize": "2K"}),
        ("3840x2160", {"aspectRatio": "16:9", "imageSize": "4K"}),
    ],
)
def test_sizes(size: str, config: Any) -> None:
    assert sent(prepare({"size": size}))["generationConfig"].get("imageConfig") == config


def test_an_edit() -> None:
    attempt = prepare({"image": [Upload(b"12", "a.jpg", "image/jpeg"), Upload(b"34")]})
    first, second, text = sent(attempt)["contents"][0]["parts"]
    assert first == {"inlineData": {"mimeType": "image/jpeg", "data": "MTI="}}
    assert second == {"inlineData": {"mimeType": "image/png", "data": "MzQ="}}
    assert text == {"text": "a house"}


def test_a_request_to_imagen() -> None:
    attempt = prepare({"n": 3, "size": "1024x1792"}, "imagen-4.0-generate-001")
    assert attempt.request.url.endswith("/models/imagen-4.0-generate-001:predict")
    assert sent(attempt) == {
        "instances": [{"prompt": "a house"}],
        "parameters": {"sampleCount": 3, "aspectRatio": "9:16"},
    }
    answer = read(attempt, {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": "AAAA"}] * 2})
    assert answer["data"] == [{"b64_json": "AAAA"}] * 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"size": "big"}, "size"),
        ({"size": "0x5"}, "size"),
        ({"image": [Upload(b"1")], "mask": Upload(b"2")}, "mask"),
    ],
)
def test_what_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        prepare(body)
    assert caught.value.param == param


def test_streams_are_refused() -> None:
    with pytest.raises(CallerFault, match="unfinished"):
        prepare({"stream": True}, stream=True)


def test_what_is_dropped_is_reported() -> None:
    call = make_call({"prompt": "x", "quality": "high", "user": "u", "odd": [1], "output_format": "png", "style": None})
    call.operation = "images"
    GoogleProvider("test", Settings()).prepare(call, make_target("gemini-2.5-flash-image"))
    assert sorted(call.dropped) == ["odd", "quality", "user"]


def test_an_answer() -> None:
    usage = {
        "promptTokenCount": 7,
        "candidatesTokenCount": 1300,
        "totalTokenCount": 1307,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
    }
    parts = ({"text": "Here it is."}, {**IMAGE, "thought": True}, IMAGE)
    answer = read(prepare({}), candidate(*parts, usageMetadata=usage))
    assert answer["data"] == [{"b64_json": "AAAA"}]
    assert answer["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 7},
        "output_tokens": 1300,
        "output_tokens_details": {"image_tokens": 1290, "text_tokens": 0},
        "total_tokens": 1307,
    }


def test_tokens_of_no_kind_are_the_image_s() -> None:
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 1290, "thoughtsTokenCount": 10, "totalTokenCount": 1307}
    told = read(prepare({}), candidate(IMAGE, usageMetadata=usage))["usage"]
    assert told["output_tokens_details"] == {"image_tokens": 1290, "text_tokens": 10}


@pytest.mark.parametrize(
    "raw",
    [
        candidate(finish="IMAGE_SAFETY"),
        candidate({"text": "no"}, finish="PROHIBITED_CONTENT"),
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"predictions": [{"raiFilteredReason": "Unable to show generated images."}]},
    ],
)
def test_refusals_are_the_caller_s(raw: Any) -> None:
    with pytest.raises(CallerFault) as caught:
        read(prepare({}), raw)
    assert caught.value.code == "moderation_blocked"


@pytest.mark.parametrize(
    "raw", [candidate({"text": "I cannot."}), candidate(finish="NO_IMAGE"), {"predictions": []}, {"candidates": [None]}]
)
def test_no_image_is_a_fault(raw: Any) -> None:
    with pytest.raises(UpstreamFault):
        read(prepare({}), raw)


def test_an_error_in_spite_of_its_status() -> None:
    with pytest.raises(Fault) as caught:
        read(prepare({}), {"error": {"code": 503, "message": f"overloaded {SECRET}", "status": "UNAVAILABLE"}})
    assert SECRET not in caught.value.message + caught.value.detail


@pytest.mark.parametrize("body", HOSTILE_BODIES)
def test_nonsense_is_a_fault(body: bytes) -> None:
    with pytest.raises(Fault):
        read(prepare({}), body)


@pytest.mark.parametrize("seed", range(60))
def test_hostile_members_are_faults_or_answers(seed: int) -> None:
    source = random.Random(seed)
    odd = [None, True, -1, "", [], {}, [None], {"a": 1}, 10**18]
    good: dict[str, Any] = candidate({**IMAGE}, usageMetadata={"promptTokenCount": 1, "candidatesTokenCount": 2})
    node: Any = good
    while isinstance(node, dict | list) and node:
        key = source.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if source.random() < 0.4:
            node[key] = source.choice(odd)
            break
        node = node[key]
    try:
        answer = read(prepare({}), good)
    except Fault:
        return
    assert answer["data"]
