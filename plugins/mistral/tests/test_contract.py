"""The provider contract, and every recorded exchange compared field by field with what came out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from tollgate_mistral import MistralProvider, Settings, create
from tollgate_mistral.details import thoughts_of

from gateway.api import fold_stream
from gateway.testing import ProviderContract, Transcript, load_transcripts, make_call, make_target, parsed

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
KEY = "test-key-0123456789"
ALL = load_transcripts(TRANSCRIPTS)


def provider() -> MistralProvider:
    return create("mistralai", Settings.model_validate({"api_key": KEY}))


class TestContract(ProviderContract):
    transcripts = TRANSCRIPTS
    secrets = (KEY,)
    upstream = "mistral-small-latest"

    def make_provider(self) -> MistralProvider:
        return provider()


class TestUnknownModel(TestContract):
    upstream = "zai-glm-5-2"


def answer(transcript: Transcript) -> dict[str, Any]:
    """What the gateway makes of it; a stream is folded."""
    call = make_call({"messages": [], **(transcript.request or {}), "stream": transcript.streamed})
    if not transcript.streamed:
        return provider().prepare(call, make_target()).reader.read_reply(transcript.reply).body
    decoder = provider().prepare(call, make_target()).reader.open_stream()
    items = decoder.feed(transcript.body) + decoder.finish()
    assert decoder.done
    return fold_stream(parsed(items))


@pytest.mark.parametrize("transcript", ALL, ids=lambda transcript: transcript.id)
def test_an_answer_says_what_the_provider_said(transcript: Transcript) -> None:
    """The message is put together here once more, in the plainest way, and compared."""
    said = _fold(transcript.body) if transcript.streamed else orjson.loads(transcript.body)
    found = answer(transcript)
    for key in ("id", "created", "model"):
        assert found[key] == said[key]
    assert len(found["choices"]) == len(said["choices"]) == 1
    raw, choice = said["choices"][0], found["choices"][0]
    message, theirs = choice["message"], raw["message"]
    chunks = theirs.get("content")
    chunks = [{"type": "text", "text": chunks}] if isinstance(chunks, str) else chunks or []
    texts = [chunk["text"] for chunk in chunks if chunk["type"] == "text"]
    thoughts = [chunk for chunk in chunks if chunk["type"] == "thinking"]
    assert (message["content"] or "") == "".join(texts)
    assert message.get("reasoning_content", "") == "".join(_thought(chunk) for chunk in thoughts)
    assert thoughts_of(message, "own", "x") == thoughts
    assert [
        (call["id"], call["type"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls", [])
    ] == [
        (call["id"], "function", call["function"]["name"], call["function"]["arguments"])
        for call in theirs.get("tool_calls") or []
    ]
    assert choice["finish_reason"] == raw["finish_reason"]
    usage, counts = found["usage"], said["usage"]
    audio = (counts.get("prompt_tokens_details") or {}).get("audio_tokens", 0)
    assert usage["prompt_tokens"] == counts["prompt_tokens"] + audio
    assert usage["completion_tokens"] == counts["completion_tokens"]
    assert usage["total_tokens"] == counts["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    cached = counts.get("num_cached_tokens", (counts.get("prompt_tokens_details") or {}).get("cached_tokens"))
    assert (usage.get("prompt_tokens_details") or {}).get("cached_tokens") == cached
    assert usage.keys() >= counts.keys()


@pytest.mark.parametrize("transcript", [t for t in ALL if t.request], ids=lambda transcript: transcript.id)
def test_a_request_that_mistral_took_stays_what_it_was(transcript: Transcript) -> None:
    """What these requests say, Mistral understood; so ours may differ in form only."""
    given = transcript.request
    assert given is not None
    call = make_call({"model": "test/model", **given, "stream": given.get("stream") is True})
    sent = orjson.loads(provider().prepare(call, make_target(given["model"])).request.body)
    assert call.dropped == []
    for key in given.keys() - {"messages", "tools"}:
        assert sent[key] == given[key], key
    assert [tool["function"] for tool in sent.get("tools", [])] == [tool["function"] for tool in given.get("tools", [])]
    assert [_plain(message) for message in sent["messages"]] == [_plain(message) for message in given["messages"]]


def test_the_recordings_reach_what_they_are_for() -> None:
    """Guards the tests above against recordings that hold nothing of what they compare."""
    messages = [answer(transcript)["choices"][0]["message"] for transcript in ALL]
    assert sum(bool(message.get("reasoning_details")) for message in messages) >= 3
    assert max(len(message.get("tool_calls", [])) for message in messages) == 3
    assert sum(transcript.streamed for transcript in ALL) >= 3


def _thought(chunk: dict[str, Any]) -> str:
    return "".join(piece["text"] for piece in chunk["thinking"])


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the freedoms of its form."""
    content = message.get("content") or ""
    chunks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    chunks = [
        {**chunk, "input_audio": chunk["input_audio"]["data"]} if isinstance(chunk.get("input_audio"), dict) else chunk
        for chunk in chunks
        if chunk != {"type": "text", "text": ""}
    ]
    calls = [{"id": call["id"], "function": call["function"]} for call in message.get("tool_calls") or []]
    return {"role": message["role"], "content": chunks, "calls": calls, "answers": message.get("tool_call_id")}


def _fold(body: bytes) -> dict[str, Any]:
    """A recorded stream as the whole answer it stands for."""
    events = [orjson.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
    whole: dict[str, Any] = {key: events[0][key] for key in ("id", "created", "model")}
    text, thought, calls = "", "", {}
    for event in events:
        choice = event["choices"][0]
        content = choice["delta"].get("content") or ""
        if isinstance(content, str):
            text += content
        else:
            thought += "".join(_thought(chunk) for chunk in content)
        for call in choice["delta"].get("tool_calls") or []:
            held = calls.setdefault(call["index"], {"function": {"name": "", "arguments": ""}})
            held["id"] = held.get("id") or call.get("id")
            held["function"]["name"] += call["function"]["name"]
            held["function"]["arguments"] += call["function"]["arguments"]
        whole["usage"] = event.get("usage")
        reason = choice["finish_reason"]
    chunks = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}] if thought else []
    message = {"content": [*chunks, {"type": "text", "text": text}], "tool_calls": list(calls.values())}
    whole["choices"] = [{"message": message, "finish_reason": reason}]
    return whole
