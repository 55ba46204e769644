"""The provider contract, and every transcript compared field by field with what came out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from tollgate_moonshot import MoonshotProvider, Settings, create

from gateway.api import fold_stream
from gateway.testing import ProviderContract, Transcript, load_transcripts, make_call, make_target, parsed

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
KEY = "test-key-0123456789"
ALL = load_transcripts(TRANSCRIPTS)


def provider() -> MoonshotProvider:
    return create("moonshotai", Settings.model_validate({"api_key": KEY}))


class TestContract(ProviderContract):
    transcripts = TRANSCRIPTS
    secrets = (KEY,)
    upstream = "kimi-k2.5"

    def make_provider(self) -> MoonshotProvider:
        return provider()


class TestOldModel(TestContract):
    upstream = "moonshot-v1-8k"


@pytest.mark.parametrize("transcript", [t for t in ALL if t.status == 200], ids=lambda transcript: transcript.id)
def test_an_answer_says_what_the_provider_said(transcript: Transcript) -> None:
    """The message is put together here once more, in the plainest way, and compared."""
    call = make_call({"messages": [], **(transcript.request or {}), "stream": transcript.streamed})
    if transcript.streamed:
        said = _fold(transcript.body)
        decoder = provider().prepare(call, make_target()).reader.open_stream()
        items = decoder.feed(transcript.body) + decoder.finish()
        chunks = parsed(items)
        found = fold_stream(chunks)
    else:
        said = orjson.loads(transcript.body)
        found = provider().prepare(call, make_target()).reader.read_reply(transcript.reply).body
    assert found.keys() >= said.keys()
    message, theirs = found["choices"][0]["message"], said["choices"][0]["message"]
    for key in ("content", "reasoning_content", "tool_calls"):
        assert message.get(key) == theirs.get(key), key
    assert found["choices"][0]["finish_reason"] == said["choices"][0]["finish_reason"]
    assert "usage" not in found["choices"][0]
    cached = said["usage"].get("cached_tokens")
    details = {"prompt_tokens_details": {"cached_tokens": cached}} if cached is not None else {}
    assert found["usage"] == {**said["usage"], **details}


@pytest.mark.parametrize("transcript", [t for t in ALL if t.request], ids=lambda transcript: transcript.id)
def test_a_request_in_moonshots_own_form_stays_what_it_was(transcript: Transcript) -> None:
    given = transcript.request
    assert given is not None
    call = make_call({"model": "test/model", **given})
    sent = orjson.loads(provider().prepare(call, make_target(given["model"])).request.body)
    assert call.dropped == []
    usage = {"stream_options": {"include_usage": True}} if given["stream"] else {}
    assert sent == {**given, **usage}


def test_streams_pass_as_their_bytes_but_for_usage() -> None:
    (transcript,) = [t for t in ALL if t.id == "thinking-tools-stream"]
    decoder = provider().prepare(make_call(), make_target()).reader.open_stream()
    items = decoder.feed(transcript.body)
    assert [type(item) for item in items] == [bytes] * (len(items) - 2) + [dict, dict]


def _fold(body: bytes) -> dict[str, Any]:
    """A recorded stream as the whole answer it stands for."""
    events = [orjson.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
    whole: dict[str, Any] = {key: events[0][key] for key in ("id", "created", "model")}
    message: dict[str, Any] = {"content": ""}
    for event in events:
        for choice in event["choices"]:
            for key in ("content", "reasoning_content"):
                if key in choice["delta"]:
                    message[key] = message.get(key, "") + choice["delta"][key]
            for piece in choice["delta"].get("tool_calls", []):
                calls = message.setdefault("tool_calls", [])
                if "id" in piece:
                    calls.append({"id": piece["id"], "type": piece["type"], "function": dict(piece["function"])})
                else:
                    calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
            whole["usage"] = choice.get("usage")
            whole["choices"] = [{"message": message, "finish_reason": choice["finish_reason"]}]
        whole["usage"] = event.get("usage") or whole["usage"]
    return whole
