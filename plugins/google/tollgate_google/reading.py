"""How an answer is to be read for a call, and what Google's reasons to finish mean."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.api import meaning_of

from .parts import decoded

FILTERED = "content_filter"
FAILED = ""
"""The model broke off, so a fault."""

FINISH: Mapping[str, str] = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": FILTERED,
    "RECITATION": FILTERED,
    "LANGUAGE": FILTERED,
    "BLOCKLIST": FILTERED,
    "PROHIBITED_CONTENT": FILTERED,
    "SPII": FILTERED,
    "IMAGE_SAFETY": FILTERED,
    "IMAGE_PROHIBITED_CONTENT": FILTERED,
    "IMAGE_RECITATION": FILTERED,
    "MODEL_ARMOR": FILTERED,
    "ESCALATION": FILTERED,
    "PUP_LIMITED_DISABLED": FILTERED,
    "OTHER": FAILED,
    "IMAGE_OTHER": FAILED,
    "NO_IMAGE": FAILED,
    "TOO_MANY_TOOL_CALLS": FAILED,
    "MALFORMED_RESPONSE": FAILED,
    "MISSING_THOUGHT_SIGNATURE": FAILED,
    "MALFORMED_FUNCTION_CALL": FAILED,
    "UNEXPECTED_TOOL_CALL": FAILED,
}
"""`finishReason` (Google's API reference, `Candidate`) to `finish_reason`."""

BROKEN_CALLS = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"})
"""Reasons that speak of a call."""

WITHOUT_PICTURE = frozenset({"NO_IMAGE", "IMAGE_OTHER"})
"""Reasons that are no fault after some text."""


def finish_of(reason: str) -> str:
    """The `finish_reason` for a `finishReason`, or FAILED. One that is in no table is read by what it speaks of."""
    found = FINISH.get(reason)
    if found is None:
        meaning = meaning_of(reason)
        found = FAILED if meaning == "error" else meaning if meaning in ("length", FILTERED) else "stop"
    return found


REFUSED = "The model's provider stopped this answer for reasons of safety or policy"
BLOCKED = "The model's provider refused this prompt for reasons of safety or policy"


@dataclass(slots=True, frozen=True)
class Reading:
    """How the answer to a call is to be read.

    json_text: a code fence around the content is taken off. wav: raw samples get the head of a WAV file.
    every_search: each search query is billed, not each answer that searched.
    """

    json_text: bool = False
    wav: bool = False
    every_search: bool = True


def refusal(sentence: str, reason: str, said: Any) -> str:
    """The text of a refusal: Google's own explanation if it gave one, else a sentence that names the reason."""
    return said if isinstance(said, str) and said else f"{sentence} ({reason[:60]})."


def as_wav(media: str, data: str) -> str:
    """Base64 of a WAV file for base64 of raw samples `audio/L16;...;rate=N` (RFC 2586); anything else unchanged.

    Google's samples are little-endian, as a WAV file's are, in spite of that document.
    """
    if not media.lower().startswith(("audio/l16", "audio/pcm")):
        return data
    samples = decoded(data)
    found = re.search(r"rate=(\d{3,6})", media)
    rate = int(found[1]) if found else 24_000
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data",
        len(samples),
    )  # fmt: skip
    return base64.b64encode(head + samples).decode()
