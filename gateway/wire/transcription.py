"""Transcriptions and translations: the requests of OpenAI's `POST /audio/transcriptions` and `/audio/translations` (API
reference) checked, how long a recording is, and what that comes to.

The true length is known to whoever decodes it. For the hold it is bounded by the recording's size (`most_seconds`);
expected is what its header says (`seconds_of`).
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.wire.lenient import dict_of, dicts_of, text_of
from gateway.wire.multipart import Upload, upload_of
from gateway.wire.plain_request import plain_request, word
from gateway.wire.tokens import text_bytes
from gateway.wire.validators import (
    Validator,
    any_of,
    array,
    boolean,
    filled_string,
    mapping,
    number,
    one_of,
    refuse,
    string,
)

LARGEST = 25 << 20
LONGEST = 12 * 3600
"""Seconds; nothing longer fits into the largest recording at any rate at which speech is still one."""
TEXTS = frozenset({"text", "srt", "vtt"})
"""Values of `response_format` that are answered as text, and not as JSON."""
# Opus goes down to 6,000 bits per second (RFC 6716, section 2.1.1); speech below that is not sent in the wild.
_LEAST_RATE = 750
# Audio tokens for a second: 10 at OpenAI, 12.5 at Mistral, 32 at Google. Text tokens: fast speech has 5.
_MOST_HEARD, _MOST_WRITTEN, _EXPECTED_HEARD, _EXPECTED_WRITTEN = 32, 16, 12, 6
_AT_LEAST = 256
# Characters in a second: auctioneers reach 400 words a minute. And the end of a subtitle, in SRT and WebVTT.
_FASTEST = 40
_CUE = re.compile(r"--> *(?:(\d{1,2}):)?(\d\d):(\d\d)[.,]\d{3}")
_MOST_READS = 4_000
_PCM, _EXTENSIBLE = frozenset({1, 3}), 0xFFFE

_FILE: Validator = upload_of(LARGEST, "a recording").about("The recording: flac, mp3, mp4, m4a, ogg, wav or webm.")
_MODEL: Validator = filled_string.about("A model that transcribes; without it the first of the list that does.")
_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
TRANSCRIPTION_FIELDS: Mapping[str, Validator] = {
    "file": _FILE,
    "model": _MODEL,
    "language": word.about("Of the recording, as in ISO 639-1; helps the model."),
    "prompt": string.about("Guides the model's spelling, or is what was said before."),
    "response_format": one_of((*_FORMATS, "diarized_json")).about("`json` without it."),
    "temperature": number(0, 1),
    "timestamp_granularities": array(one_of(("word", "segment"))).about("For `verbose_json`."),
    "include": array(word).about("`logprobs`, where the model has them."),
    "stream": boolean.about("Answer with events while the text is written."),
    "chunking_strategy": any_of(word, mapping).about("`auto` or an object, where the model cuts by voice."),
}
TRANSLATION_FIELDS: Mapping[str, Validator] = {
    "file": _FILE,
    "model": _MODEL,
    "prompt": string.about("Guides the model, in English."),
    "response_format": one_of(_FORMATS).about("`json` without it."),
    "temperature": number(0, 1),
}


def _check_source(body: Mapping[str, Any]) -> None:
    for name in ("file_url", "file_id"):
        if body.get(name) is not None:
            # A provider that knows it would read a recording whose length nobody here has seen.
            refuse(name, "send the recording itself as `file`", code="unsupported_parameter")


TRANSCRIPTION_REQUEST = plain_request(TRANSCRIPTION_FIELDS, ("file",), _check_source)
"""A whole request, with its recording as a file. Raises CallerFault 400 that names the field."""
TRANSLATION_REQUEST = plain_request(TRANSLATION_FIELDS, ("file",), _check_source)
"""The same for a translation into English."""


def with_length(body: dict[str, Any]) -> dict[str, Any]:
    """The body with its recording's length found out, as far as its header says it."""
    file = body.get("file")
    if not isinstance(file, Upload) or len(file.content) > LARGEST:
        return body
    return {**body, "file": replace(file, seconds=seconds_of(file.content))}


def seconds_of(content: bytes) -> float | None:
    """How long a recording says that it is; None when it does not say, or not in a way that is known here."""
    exact = _wav_seconds(content)
    if exact is not None:
        return exact
    from tinytag import TinyTag  # only who transcribes pays for it

    try:
        told = TinyTag.get(None, file_obj=_Bounded(content), tags=False, image=False).duration
    except Exception:  # bytes of a stranger in a library's parser: whatever it stumbles over says nothing of the length
        return None
    return float(told) if isinstance(told, int | float) and 0 < told <= LONGEST else None


class _Bounded(io.BytesIO):
    """A file that is read in so many pieces only: a parser that looks for a header through megabytes of a stranger's
    bytes, a few at a time, would take seconds. Headers of real recordings take some hundreds."""

    _left = _MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file. Raises EOFError when that is enough."""
        self._left -= 1
        if self._left < 0:
            raise EOFError
        return super().read(size)


def _wav_seconds(content: bytes) -> float | None:
    """Of uncompressed WAV, by its size, whatever its header says of that."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return None
    place, rate = 12, 0
    for _ in range(64):
        head = content[place : place + 24]
        if head[:4] == b"data" and rate:
            place += 8
            break
        if len(head) < 24:
            break
        if head[:4] == b"fmt " and not rate:
            kind, channels, samples, _, _, bits = struct.unpack("<HHIIHH", head[8:24])
            rate = samples * channels * -(-bits // 8)
            if kind == _EXTENSIBLE:
                # The true format is the beginning of its GUID; by the outer one, MP3 could pass as PCM.
                kind = int.from_bytes(content[place + 32 : place + 34], "little")
            if kind not in _PCM or rate < _LEAST_RATE:
                return None
        if place + 8 + int.from_bytes(head[4:8], "little") > len(content):
            break  # what a header says beyond the end hides nothing of what is there
        place += 8 + int.from_bytes(head[4:8], "little") + (head[4] & 1)
    return max(0, len(content) - place) / rate if rate else None


def most_seconds(body: Mapping[str, Any]) -> int:
    """An upper bound of the length of a request's recording: by its size, and exact where it is not compressed."""
    content = _recording(body).content
    exact = _wav_seconds(content)
    return math.ceil(len(content) / _LEAST_RATE if exact is None else exact) + 1


def expected_seconds(body: Mapping[str, Any]) -> int:
    """What is held for at the least: the length of a request's recording as its header says and a second, else the
    upper bound."""
    told = _recording(body).seconds
    return most_seconds(body) if told is None else min(math.ceil(told) + 1, most_seconds(body))


def heard_seconds(body: Mapping[str, Any], answer: Mapping[str, Any]) -> int:
    """What is billed: the length that the provider tells, else the header, or what the text shows of it; where neither
    says anything, the bound."""
    told: Any = dict_of(answer.get("usage")).get("seconds", answer.get("duration"))
    if isinstance(told, str):  # some servers write `duration` as text
        try:
            told = float(told)
        except ValueError:
            told = None
    if type(told) in (int, float) and 0 < told <= LONGEST * 10:
        length: int = math.ceil(told)
        return length
    most, header = most_seconds(body), _recording(body).seconds
    # To the thousandth: what a division leaves behind it is no further second.
    expected = most if header is None else math.ceil(round(header, 3))
    return min(max(expected, _least_seconds(answer), 1), most)


def _least_seconds(answer: Mapping[str, Any]) -> int:
    """What an answer's text shows of the length, whatever the recording's header says: the end of the last subtitle or
    segment, or the time that it takes to say so much."""
    text = text_of(answer.get("text"))
    ends = [60 * (60 * int(hours or 0) + int(minutes)) + int(seconds) for hours, minutes, seconds in _CUE.findall(text)]
    told: list[Any] = [segment.get("end") for segment in dicts_of(answer.get("segments"))]
    ends += [math.ceil(end) for end in told if type(end) in (int, float) and 0 < end <= LONGEST]
    return max(ends) if ends else len(text) // _FASTEST


def heard_input_tokens(body: Mapping[str, Any]) -> int:
    """An upper bound of the input in tokens."""
    return most_seconds(body) * _MOST_HEARD + text_bytes(text_of(body.get("prompt"))) + _AT_LEAST


def estimate_heard_input(body: Mapping[str, Any]) -> int:
    """The expected input in tokens, for a bill when no usage came."""
    return expected_seconds(body) * _EXPECTED_HEARD + text_bytes(text_of(body.get("prompt")))


def heard_output_tokens(body: Mapping[str, Any], most: int | None) -> int:
    """An upper bound of the text in tokens. most: what the model can write, where that is known."""
    bound = most_seconds(body) * _MOST_WRITTEN + _AT_LEAST
    return bound if most is None else min(bound, most)


def estimate_heard_output(body: Mapping[str, Any]) -> int:
    """The text in tokens when no usage came."""
    return expected_seconds(body) * _EXPECTED_WRITTEN + 1


def _recording(body: Mapping[str, Any]) -> Upload:
    found = body.get("file")
    return found if isinstance(found, Upload) else Upload(b"")
