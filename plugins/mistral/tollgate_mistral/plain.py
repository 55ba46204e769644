"""OpenAI's `POST /audio/transcriptions` and `/moderations` at Mistral.

Sources: OpenAI's API reference; Mistral's (`/v1/audio/transcriptions`: `language`, `temperature`,
`timestamp_granularities`, `usage.prompt_audio_seconds`; `/v1/moderations`: categories and scores without `flagged`).
"""

from __future__ import annotations

import re
from typing import Any

from gateway.api import (
    Answer,
    Call,
    ModerationReader,
    Target,
    TranscriptionReader,
    UpstreamReply,
    dict_of,
    dicts_of,
    form_of_body,
    nonsense,
    text_of,
    write_form,
)

from .draft import refuse
from .reader import FaultsReader

_CARRIED = frozenset({"file", "language", "temperature", "timestamp_granularities"})
_SILENT = frozenset({"model", "response_format", "stream"})
_TEXT_FORMATS = ("srt", "vtt", "diarized_json")
_LONGEST = 10**6

_FAMILIES = (
    (re.compile(r".*embed"), frozenset({"embeddings"})),
    (re.compile(r"mistral-moderation"), frozenset({"moderations"})),
    (re.compile(r"voxtral-.*transcribe"), frozenset({"transcriptions"})),
    (re.compile(r"voxtral-"), frozenset({"chat", "transcriptions"})),
    (re.compile(r"(mistral|ministral|codestral|devstral|magistral|pixtral|open-mi[sx]tral)-"), frozenset({"chat"})),
)
_UNKNOWN = frozenset({"chat", "embeddings", "transcriptions", "moderations"})


def operations_of(upstream: str) -> frozenset[str]:
    """What a model does, by its name; one that nobody knows may do anything."""
    return next((operations for names, operations in _FAMILIES if names.match(upstream)), _UNKNOWN)


def transcription_form(call: Call, target: Target) -> tuple[str, bytes]:
    """Content-Type and bytes of the upstream form. Raises CallerFault that names the field; reports what Mistral does
    not take."""
    wanted = call.body.get("response_format")
    if wanted in _TEXT_FORMATS:
        raise refuse("response_format", "Mistral gives text, and its segments in verbose_json; no subtitles")
    if call.stream:
        raise refuse("stream", "Mistral's events are others; ask without stream")
    body: dict[str, Any] = {"model": target.upstream}
    for name, value in call.body.items():
        if name in _CARRIED and value is not None:
            body[name] = value
        elif name not in _SILENT and value is not None:
            call.report_dropped(name, f"{name}: Mistral's transcriptions do not take it")
    granular = body.get("timestamp_granularities")
    if isinstance(granular, list) and len(granular) > 1:
        raise refuse("timestamp_granularities", "Mistral gives one of word and segment, not both")
    if wanted == "verbose_json" and not granular:
        body["timestamp_granularities"] = ["segment"]
    # Mistral names the field without brackets.
    fields = [(name.removesuffix("[]"), value) for name, value in form_of_body(body)]
    return write_form(fields, call.id)


class TranscriptReader(FaultsReader, TranscriptionReader):
    """Reads the answer, which is OpenAI's verbose one but for the usage."""

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """What was heard, with the seconds that are billed. Raises Fault for what is no answer."""
        answer = super().read_body(reply)
        told: Any = dict_of(answer.pop("usage", None)).get("prompt_audio_seconds")
        if type(told) in (int, float) and 0 <= told <= _LONGEST:
            answer["usage"] = {"type": "duration", "seconds": told}
            answer.setdefault("duration", float(told))
        if self.call.body.get("response_format") in (None, "json"):
            return {name: answer[name] for name in ("text", "usage") if name in answer}
        answer.setdefault("task", "transcribe")
        return answer

    def measure(self, body: dict[str, Any]) -> Answer:
        """Seconds are billed, no tokens: what Mistral tells of those is not its price."""
        return Answer(body, self.dialect)


class VerdictReader(FaultsReader, ModerationReader):
    """Reads verdicts, which are OpenAI's but for `flagged`."""

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """The verdicts. Raises Fault for what is no answer."""
        answer = super().read_body(reply)
        if len(dicts_of(answer["results"])) != len(answer["results"]):
            raise nonsense(self.missing, reply.body)
        for verdict in answer["results"]:
            categories = dict_of(verdict.get("categories"))
            verdict.setdefault("flagged", any(value is True for value in categories.values()))
        return answer


def moderation_body(call: Call, target: Target) -> dict[str, Any]:
    """The upstream body. Raises CallerFault for pictures, which Mistral does not judge."""
    given = call.body.get("input")
    texts = []
    for at, item in enumerate(given if isinstance(given, list) else [given]):
        part = dict_of(item)
        if part and part.get("type") != "text":
            raise refuse(f"input[{at}]", "Mistral judges texts only")
        texts.append(text_of(part.get("text")) if part else item)
    return {"model": target.upstream, "input": texts}
