"""Speech by generateContent: samples in a WAV file, or as events."""

from __future__ import annotations

import base64
import io
import json
import wave
from pathlib import Path
from typing import Any

import orjson
import pytest
from tollgate_google import GoogleProvider, Settings
from tollgate_google.images import operations_of

from gateway.api import Attempt, CallerFault, Fault, UpstreamFault, UpstreamReply
from gateway.testing import HOSTILE_BODIES, make_call, make_target

TRANSCRIPT = json.loads((Path(__file__).parent.parent / "transcripts" / "speech.json").read_text())
SAMPLES = b"\x01\x00\x02\x00" * 10_000


def prepare(**body: Any) -> Attempt:
    call = make_call({"input": "Good day", "response_format": "wav", **body}, stream=True)
    call.operation = "speech"
    return GoogleProvider("test", Settings(api_key="key")).prepare(call, make_target("gemini-2.5-flash-preview-tts"))


def reply(*parts: Any, finish: str = "STOP", **more: Any) -> UpstreamReply:
    candidate = {"content": {"parts": list(parts)}, "finishReason": finish}
    usage = TRANSCRIPT["response"]["body"]["usageMetadata"]
    return UpstreamReply(200, {}, orjson.dumps({"candidates": [candidate], "usageMetadata": usage, **more}))


def audio(media_type: str = "audio/L16;codec=pcm;rate=24000", data: bytes = SAMPLES) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}


def test_the_request_is_the_recorded_one() -> None:
    said = TRANSCRIPT["request"]["body"]
    text = said["contents"][0]["parts"][0]["text"]
    sent = orjson.loads(prepare(input=text, voice="Kore").request.body)
    assert sent == {name: value for name, value in said.items() if name != "model"}
    assert operations_of("gemini-2.5-flash-preview-tts") == {"chat", "speech"}


def test_voices_and_instructions() -> None:
    attempt = prepare(voice="alloy", instructions="Cheerfully", speed=2)
    assert attempt.reader.call.dropped.text() == "speed, voice"  # type: ignore[attr-defined]
    sent = orjson.loads(attempt.request.body)
    assert sent["contents"][0]["parts"] == [{"text": "Cheerfully:\nGood day"}]
    voice = sent["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]
    assert voice == {"voiceName": "Kore"}
    for wanted in ("mp3", None):
        with pytest.raises(CallerFault, match="wav and pcm"):
            prepare(response_format=wanted)


def test_samples_become_a_file_and_usage_is_told() -> None:
    reader = prepare().reader
    assert not reader.is_stream({"content-type": "application/json"})
    tally = reader.open_tally(1)
    [made] = reader.unfold(reply(audio(data=SAMPLES[:100]), audio("audio/l16;rate=16000", SAMPLES[:50])))
    assert isinstance(made, bytes)
    with wave.open(io.BytesIO(made)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(1000) == SAMPLES[:100] + SAMPLES[:50]
    tally.add([made])
    assert tally.complete
    assert tally.usage is not None
    assert tally.usage["completion_tokens_details"]["audio_tokens"] == 111
    assert prepare(response_format="pcm").reader.unfold(reply(audio())) == [SAMPLES]


def test_events() -> None:
    reader = prepare(response_format="pcm", stream_format="sse").reader
    tally = reader.open_tally(1)
    *deltas, done = tally.add(reader.unfold(reply(audio())))
    assert len(deltas) == 3
    assert b"".join(base64.b64decode(one["audio"]) for one in deltas) == SAMPLES  # type: ignore[index]
    assert done["usage"]["output_tokens"] == 111  # type: ignore[index]
    assert tally.complete
    assert tally.usage is not None
    assert tally.usage["input_tokens"] == 11


def test_what_is_no_audio() -> None:
    reader = prepare().reader
    for odd in (reply(), reply({"text": "Good day"}), reply(audio("image/png")), reply(audio(data=b""))):
        with pytest.raises(UpstreamFault, match="without audio"):
            reader.unfold(odd)
    for refused in (reply(finish="SAFETY"), reply(promptFeedback={"blockReason": "OTHER"})):
        with pytest.raises(CallerFault) as caught:
            reader.unfold(refused)
        assert caught.value.code == "moderation_blocked"
    with pytest.raises(Fault) as caught_error:
        reader.unfold(UpstreamReply(200, {}, b'{"error": {"message": "slow down", "code": 429}}'))
    assert caught_error.value.status == 429
    broken = reply({"inlineData": {"mimeType": "audio/L16", "data": "?"}})
    for body in (*HOSTILE_BODIES, broken.body, b'{"error": {"message": "no", "code": 500}}'):
        with pytest.raises(Fault):
            reader.unfold(UpstreamReply(200, {}, body))
