"""The provider contract, and every recorded answer compared field by field with what came out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from tollgate_google import GoogleProvider, Settings

from gateway.api import Fault, fold_stream
from gateway.testing import ProviderContract, Transcript, load_transcripts, make_call, make_target

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
KEY = "AIzaSyVerySecretValue0123456789abcdefghi"


def provider() -> GoogleProvider:
    return GoogleProvider("test", Settings(api_key=KEY))


class TestContract(ProviderContract):
    transcripts = TRANSCRIPTS
    secrets = (KEY,)
    upstream = "gemini-2.5-flash"

    def make_provider(self) -> GoogleProvider:
        return provider()


ANSWERS = [transcript for transcript in load_transcripts(TRANSCRIPTS) if transcript.status == 200]


def _responses(transcript: Transcript) -> list[dict[str, Any]]:
    if transcript.streamed:
        return [orjson.loads(line[6:]) for line in transcript.body.splitlines() if line.startswith(b"data: ")]
    raw = orjson.loads(transcript.body)
    return raw if isinstance(raw, list) else [raw]


def _completion(transcript: Transcript) -> dict[str, Any]:
    if not transcript.streamed:
        return provider().prepare(make_call(), make_target()).reader.read_reply(transcript.reply).body
    decoder = provider().prepare(make_call(), make_target()).reader.open_stream()
    items = decoder.feed(transcript.body) + decoder.finish()
    assert decoder.done
    chunks = [item for item in items if isinstance(item, dict)]
    assert len(chunks) == len(items)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"] == []
    assert chunks[-2]["choices"][0]["finish_reason"]
    assert not any(choice["finish_reason"] for chunk in chunks[:-2] for choice in chunk["choices"])
    assert all(chunk["id"] == chunks[0]["id"] for chunk in chunks)
    return fold_stream(chunks)


@pytest.mark.parametrize("transcript", ANSWERS, ids=lambda transcript: transcript.id)
def test_an_answer_says_what_the_provider_said(transcript: Transcript) -> None:
    """The message is put together here once more, in the plainest way, and compared."""
    responses = _responses(transcript)
    completion = _completion(transcript)
    (choice,) = completion["choices"]
    message = choice["message"]
    parts = [part for said in responses for part in said["candidates"][0].get("content", {}).get("parts", [])]
    assert completion["id"] == responses[0]["responseId"]
    assert completion["modelVersion"] == responses[-1]["modelVersion"]
    assert (message["content"] or "") == "".join(p["text"] for p in parts if "text" in p and not p.get("thought"))
    assert message.get("reasoning_content", "") == "".join(p["text"] for p in parts if p.get("thought"))
    calls = [part for part in parts if "args" in part.get("functionCall", {})]
    told = [(c["function"]["name"], orjson.loads(c["function"]["arguments"])) for c in message.get("tool_calls", [])]
    if calls:
        assert told == [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in calls]
    assert len({call["id"] for call in message.get("tool_calls", [])}) == len(told)
    signatures = [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
    details = message.get("reasoning_details", [])
    kept = [d["signature"] if "signature" in d else d["part"].get("thoughtSignature") for d in details]
    assert [signature for signature in kept if signature] == signatures
    opaque = [p for p in parts if p.keys() & {"toolCall", "toolResponse", "executableCode", "codeExecutionResult"}]
    assert [detail["part"] for detail in details if detail["type"] == "google.part"] == opaque
    reason = responses[-1]["candidates"][0]["finishReason"]
    assert choice["native_finish_reason"] == reason
    expected = "tool_calls" if told else {"STOP": "stop", "MAX_TOKENS": "length"}[reason]
    assert choice["finish_reason"] == expected
    _check_usage(completion["usage"], responses[-1]["usageMetadata"])


def _check_usage(usage: dict[str, Any], raw: dict[str, Any]) -> None:
    assert usage["prompt_tokens"] == raw["promptTokenCount"] + raw.get("toolUsePromptTokenCount", 0)
    assert usage["completion_tokens"] == raw.get("candidatesTokenCount", 0) + raw.get("thoughtsTokenCount", 0)
    assert usage["total_tokens"] == raw["totalTokenCount"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == raw.get("cachedContentTokenCount", 0)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == raw.get("thoughtsTokenCount", 0)
    media = {entry["modality"]: entry["tokenCount"] for entry in raw["promptTokensDetails"]}
    if "toolUsePromptTokenCount" not in raw:
        for kind, count in media.items():
            assert usage["prompt_tokens_details"][f"{kind.lower()}_tokens"] == count


def test_the_recordings_reach_what_they_are_for() -> None:
    """Guards the test above against recordings that hold nothing of what it compares."""
    seen = b"".join(transcript.body for transcript in ANSWERS)
    for kind in (b"toolResponse", b"executableCode", b"partialArgs", b"groundingSupports", b"inlineData", b'"AUDIO"'):
        assert kind in seen


def _by_id(name: str) -> Transcript:
    return next(transcript for transcript in load_transcripts(TRANSCRIPTS) if transcript.id == name)


def test_pieces_of_arguments_grow_into_json() -> None:
    calls = _completion(_by_id("tool-argument-pieces-stream"))["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"name": "getWeather", "arguments": '{"location":"Boston"}'},
        {"name": "getWeather", "arguments": '{"location":"San Francisco"}'},
    ]


def test_a_search_is_cited_and_counted() -> None:
    for name in ("search", "search-stream"):
        completion = _completion(_by_id(name))
        (choice,) = completion["choices"]
        notes = choice["message"]["annotations"]
        assert [note["index"] for note in notes] == [0, 1, 2, 3]
        assert notes[0]["url_citation"]["title"] == "sa.gov"
        for note in notes:
            cited = note["url_citation"]
            assert choice["message"]["content"][cited["start_index"] : cited["end_index"]].endswith("}")
        assert completion["usage"]["server_tool_use_details"] == {"web_search_requests": 1}
        assert choice["groundingMetadata"]["webSearchQueries"] == ["", "largest city in Mexico"]
        items = [event["item"] for event in choice["message"]["x_gateway"] if event["event"] == "done"]
        assert [item["action"]["query"] for item in items] == ["largest city in Mexico"]
        assert len(items[0]["action"]["sources"]) == len(choice["groundingMetadata"]["groundingChunks"])


def test_speech_is_audio_and_becomes_a_wav_file_when_asked() -> None:
    transcript = _by_id("speech")
    call = make_call({"messages": [{"role": "user", "content": "x"}], "audio": {"voice": "Kore", "format": "wav"}})
    for asked, begins in ((call, "UklGR"), (make_call(), "c2hvcnRlbmVk")):
        reader = provider().prepare(asked, make_target("gemini-2.5-flash-preview-tts")).reader
        audio = reader.read_reply(transcript.reply).body["choices"][0]["message"]["audio"]
        assert audio["data"].startswith(begins)
    assert audio["mime_type"] == "audio/L16;codec=pcm;rate=24000"


def test_recorded_errors_say_whose_fault_it_is() -> None:
    key = provider().prepare(make_call(), make_target()).reader.read_fault(_by_id("error-400-key").reply)
    assert (key.status, key.code) == (502, "upstream_credentials_refused")
    assert "API key" not in key.message
    rate = provider().prepare(make_call(), make_target()).reader.read_fault(_by_id("error-429").reply)
    assert (rate.status, rate.type, rate.code) == (429, "rate_limit", "upstream_rate_limit_exceeded")
    assert rate.retry_after == pytest.approx(48.94, abs=0.01)
    missing = provider().prepare(make_call(), make_target()).reader.read_fault(_by_id("error-404").reply)
    assert (missing.status, missing.code) == (404, "model_not_found")
    assert "this-model" not in missing.message


def test_recorded_conversations_are_rebuilt_as_they_were_sent() -> None:
    """The answer of one transcript, given back, makes the very parts that it came with."""
    for name in ("thinking-then-tool", "parallel-tools-stream", "signed-text-stream", "search", "code-execution"):
        transcript = _by_id(name)
        message = _completion(transcript)["choices"][0]["message"]
        calls = message.get("tool_calls", [])
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in calls]
        history = [{"role": "user", "content": "x"}, message, *results, {"role": "user", "content": "y"}]
        call = make_call({"messages": history})
        sent = orjson.loads(provider().prepare(call, make_target("gemini-3-pro-preview")).request.body)
        turn = sent["contents"][1]
        assert turn["role"] == "model"
        said = [
            part
            for response in _responses(transcript)
            for part in response["candidates"][0]["content"]["parts"]
            if not part.get("thought")
        ]
        for part in turn["parts"]:
            part.get("functionCall", {}).pop("id", None)
        if transcript.streamed:
            assert [part for part in turn["parts"] if "thoughtSignature" in part] == [
                part for part in said if "thoughtSignature" in part
            ]
        else:
            assert turn["parts"] == said
        assert call.dropped == []


def test_a_fault_in_the_stream_is_the_last_item() -> None:
    decoder = provider().prepare(make_call(), make_target()).reader.open_stream()
    error = {"error": {"code": 503, "message": f"overloaded {KEY}", "status": "UNAVAILABLE"}}
    begin = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}
    items = decoder.feed(b"".join(b"data: " + orjson.dumps(x) + b"\r\n\r\n" for x in (begin, error, begin)))
    assert isinstance(items[-1], Fault)
    assert (items[-1].status, items[-1].code) == (503, "upstream_overloaded")
    assert KEY not in items[-1].detail
    assert [type(item) for item in items[:-1]] == [dict, dict]
    assert decoder.feed(b"data: {}\n\n") == []
    assert decoder.finish() == []
    assert not decoder.done
