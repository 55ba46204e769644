"""OpenAI's `POST /audio/speech` at Google: models that speak, by generateContent.

Sources: OpenAI's API reference (audio, speech); Google's guide to speech generation (`responseModalities`,
`speechConfig.voiceConfig.prebuiltVoiceConfig`; the answer is `inlineData` of `audio/L16;codec=pcm;rate=24000`, one
channel, little-endian in spite of that name) and `transcripts/speech.json`.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.api import (
    BytesTally,
    Call,
    CallerFault,
    SpeechReader,
    StreamItem,
    Tally,
    Target,
    UpstreamFault,
    UpstreamReply,
    UpstreamRequest,
    dict_of,
    dicts_of,
    nonsense,
    text_of,
)

from .draft import refuse
from .images import why_refused
from .reply import FaultsReader, object_in
from .request import post
from .settings import Settings
from .usage import translate_usage

FORMATS = ("wav", "pcm")
_USUAL_VOICE = "Kore"
_OPENAI_VOICES = frozenset("alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split())
"""Voices that no model of Google's has: the usual one speaks, which is reported."""
_RATE = re.compile(r"rate=(\d{4,6})")
_USUAL_RATE = 24_000
_PIECE = 16 * 1024


def speech_request(call: Call, target: Target, settings: Settings) -> UpstreamRequest:
    """The request for audio. Raises CallerFault that names the field; reports what Google does not take."""
    body = call.body
    if body.get("response_format") not in FORMATS:
        raise refuse("response_format", f"this model speaks {' and '.join(FORMATS)} only; ask for one of them")
    if body.get("speed") not in (None, 1, 1.0):
        call.report_dropped("speed", "speed: Google's speech takes none; say it in instructions")
    voice = body.get("voice")
    name = text_of(voice) or text_of(dict_of(voice).get("id"))
    if name.lower() in _OPENAI_VOICES:
        call.report_dropped("voice", "voice: Google has voices of its own, such as Kore and Puck")
        name = ""
    said = text_of(body.get("input"))
    instructions = text_of(body.get("instructions"))
    spoken = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": name or _USUAL_VOICE}}}
    out: dict[str, Any] = {
        "contents": [{"role": "user", "parts": [{"text": f"{instructions}:\n{said}" if instructions else said}]}],
        "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": spoken},
    }
    return post(target, "generateContent", out, settings, stream=False)


class _Spoken(BytesTally):
    """The usage of audio that came whole."""

    def tell(self, usage: dict[str, Any] | None) -> None:
        self.usage, self.complete = usage, True


class GoogleSpeechReader(FaultsReader, SpeechReader):
    """Reads an answer of generateContent as audio, or as OpenAI's events with audio in them."""

    def __init__(self, call: Call, secrets: Sequence[str] = ()) -> None:
        super().__init__(call, secrets)
        self._tally: _Spoken | None = None

    def is_stream(self, headers: Mapping[str, str]) -> bool:
        """Never: it comes whole, in JSON."""
        return False

    def open_tally(self, choices: int) -> Tally:
        """Of events the last one tells the usage; of audio it is told beside."""
        if self.as_events:
            return super().open_tally(choices)
        self._tally = _Spoken()
        return self._tally

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """The audio. Raises UpstreamFault for what holds none, CallerFault for what was refused."""
        raw = object_in(reply, self.missing)
        audio, rate = _audio(raw, reply.body)
        if self.call.body.get("response_format") == "wav":
            audio = wav_head(len(audio), rate) + audio
        usage = translate_usage(dict_of(raw.get("usageMetadata")))
        if not self.as_events:
            if self._tally is not None:
                self._tally.tell(usage)
            return [audio]
        pieces = (audio[start : start + _PIECE] for start in range(0, len(audio), _PIECE))
        events: list[StreamItem] = [
            {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()} for piece in pieces
        ]
        done: dict[str, Any] = {"type": "speech.audio.done"}
        if usage is not None:
            done["usage"] = {
                "input_tokens": usage["prompt_tokens"],
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": usage["completion_tokens_details"],
                "total_tokens": usage["total_tokens"],
            }
        return [*events, done]


def _audio(raw: Mapping[str, Any], body: bytes) -> tuple[bytes, int]:
    """The samples of the first candidate, and how many come a second."""
    found: list[bytes] = []
    rate = _USUAL_RATE
    for candidate in dicts_of(raw.get("candidates"))[:1]:
        for part in dicts_of(dict_of(candidate.get("content")).get("parts")):
            data = dict_of(part.get("inlineData"))
            media_type = text_of(data.get("mimeType")).lower()
            if not media_type.startswith(("audio/l16", "audio/pcm")):
                continue
            told = _RATE.search(media_type)
            rate = int(told[1]) if told else rate
            try:
                found.append(base64.b64decode(text_of(data.get("data")), validate=True))
            except (binascii.Error, ValueError):
                raise nonsense(GoogleSpeechReader.missing, body) from None
    if not any(found):
        reason = why_refused(raw)
        if reason:
            raise CallerFault(reason[:1000], code="moderation_blocked", param="input")
        raise UpstreamFault("The model answered without audio.", code="upstream_no_audio",
                            detail=body[:500].decode("utf-8", "replace"))  # fmt: skip
    return b"".join(found), rate


def wav_head(size: int, rate: int) -> bytes:
    """The head of a WAV file (RIFF) of so many bytes of 16-bit samples in one channel."""
    return b"".join(
        (
            b"RIFF", struct.pack("<I", 36 + size), b"WAVEfmt ",
            struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16), b"data", struct.pack("<I", size),
        )
    )  # fmt: skip
