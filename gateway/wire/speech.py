"""Speech: the request of OpenAI's `POST /audio/speech` (API reference) checked, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.wire.lenient import text_of
from gateway.wire.plain_request import plain_request, text_up_to, word
from gateway.wire.tokens import text_bytes
from gateway.wire.validators import any_of, filled_string, number, obj, one_of, string

MOST_TEXT = 100_000
MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "mp3": "audio/mpeg",
        "opus": "audio/ogg",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "wav": "audio/wav",
        "pcm": "audio/pcm",
    }
)
"""The media type of each `response_format`."""

# OpenAI's speech models write about 21 tokens for a second, in which about 15 characters are spoken.
_EXPECTED_PER_BYTE, _MOST_PER_BYTE, _AT_LEAST = 2, 4, 256

SPEECH_REQUEST = plain_request(
    {
        "input": text_up_to(MOST_TEXT).about("What is to be said. Models have lower limits of their own."),
        "model": filled_string.about("A model that speaks; without it the first of the list that does."),
        "voice": any_of(word, obj({"id": word})).about("A voice that the model has."),
        "instructions": string.about("How it shall sound, for models that can be told."),
        "response_format": one_of(tuple(MEDIA_TYPES)).about("The format; `mp3` without it."),
        "speed": number(0.25, 4).about("1 is usual."),
        "stream_format": one_of(("audio", "sse")).about("`sse`: events with pieces of the audio in base64."),
    },
    ("input",),
)
"""A whole request. Raises CallerFault 400 that names the field."""


def as_events(body: Mapping[str, Any]) -> bool:
    """Whether the audio is wanted as events, and not as it is."""
    return body.get("stream_format") == "sse"


def media_type_of(body: Mapping[str, Any]) -> str:
    """The media type of the audio that a request asks for."""
    return MEDIA_TYPES.get(text_of(body.get("response_format")) or "mp3", "audio/mpeg")


def characters_of(body: Mapping[str, Any]) -> int:
    """The characters that are spoken."""
    return len(text_of(body.get("input")))


def speech_input_tokens(body: Mapping[str, Any]) -> int:
    """An upper bound of the input in tokens: a token has at least one byte of text."""
    return _text(body) + 64


def estimate_speech_input(body: Mapping[str, Any]) -> int:
    """The expected input in tokens, for a bill when no usage came."""
    return -(-_text(body) // 4)


def speech_output_tokens(body: Mapping[str, Any]) -> int:
    """An upper bound of the audio in tokens."""
    return _MOST_PER_BYTE * text_bytes(text_of(body.get("input"))) + _AT_LEAST


def estimate_speech_output(body: Mapping[str, Any]) -> int:
    """What the audio comes to in tokens when no usage came; rather too much than too little."""
    return _EXPECTED_PER_BYTE * text_bytes(text_of(body.get("input"))) + 1


def _text(body: Mapping[str, Any]) -> int:
    return text_bytes(text_of(body.get("input"))) + text_bytes(text_of(body.get("instructions")))
