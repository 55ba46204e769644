"""What is no conversation: embeddings, images, audio, moderations. OpenAI's bodies are the hub's, so they go out as
they came, in JSON or as a form.

Source: OpenAI's API reference (images, audio, moderations) and its list of models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.api import Call, CallerFault

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "embeddings": "/embeddings",
        "images": "/images/generations",
        "image_edits": "/images/edits",
        "image_variations": "/images/variations",
        "speech": "/audio/speech",
        "transcriptions": "/audio/transcriptions",
        "translations": "/audio/translations",
        "moderations": "/moderations",
        "rerank": "/rerank",
    }
)
"""Where each operation is done, below the base URL."""

EVERYTHING = frozenset({"chat", *PATHS})
"""What a server may do of which no more is known than that it speaks this dialect; texts to go on from and
conversations to compact are then said as chats."""


@dataclass(slots=True, frozen=True)
class _Family:
    """Models whose names begin alike, and what they do."""

    names: re.Pattern[str]
    operations: frozenset[str]


def _family(names: str, *operations: str) -> _Family:
    return _Family(re.compile(names), frozenset(operations))


_FAMILIES = (
    _family(r"text-embedding-", "embeddings"),
    _family(r"(chatgpt-image|gpt-image|dall-e)", "images", "image_edits"),
    _family(r"(tts-1|gpt-.*-tts\b)", "speech"),
    _family(r"whisper-", "transcriptions", "translations"),
    _family(r"gpt-(.*-)?transcribe\b", "transcriptions"),
    _family(r"(omni|text)-moderation-", "moderations"),
)
_IMAGES_IN_BASE64 = re.compile(r"(chatgpt-image|gpt-image)")


def operations_of(upstream: str) -> frozenset[str]:
    """What a model of OpenAI's own does, by its name; what is in no family talks."""
    return next((family.operations for family in _FAMILIES if family.names.match(upstream)), frozenset({"chat"}))


def plain_body(call: Call, upstream: str, *, official: bool) -> dict[str, Any]:
    """The upstream body. Raises CallerFault for what OpenAI itself bills by another model's price; appends to
    `call.dropped`."""
    body = {name: value for name, value in call.body.items() if value is not None}
    body["model"] = upstream
    if body.get("response_format") == "text" and call.operation in ("transcriptions", "translations"):
        # The same text, with the usage beside it; some models know no other format.
        body["response_format"] = "json"
    if not official or call.operation not in ("images", "image_edits", "image_variations"):
        return body
    for name in body:
        if name == "svg" or name.startswith("svg["):
            raise _other_price(name)
    if body.get("output_format") == "svg":
        raise _other_price("output_format")
    if _IMAGES_IN_BASE64.match(upstream) and body.pop("response_format", "b64_json") != "b64_json":
        call.report_dropped("response_format", "response_format: this model gives its images as b64_json")
    return body


def _other_price(name: str) -> CallerFault:
    return CallerFault(
        f"{name}: SVG is written by another model, whose tokens have no price here; ask for png, jpeg or webp.",
        code="unsupported_parameter",
        param=name,
    )
