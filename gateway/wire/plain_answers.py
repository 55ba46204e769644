"""Schemas of what embeddings, images, audio and moderations answer.

Source: OpenAI's `openapi.yaml` (CreateEmbeddingResponse, ImagesResponse, CreateTranscriptionResponse...,
CreateModerationResponse, and the events of their streams); `usage.cost` is the gateway's. Members that only some
providers send are not named; they travel on.
"""

from __future__ import annotations

from gateway.wire.chat.answers import COST, COUNT, constant, listing, members
from gateway.wire.json_schema import Component, Tree, alternatives, or_null
from gateway.wire.openapi import ERROR

_TEXT: Tree = {"type": "string"}
_NUMBER: Tree = {"type": "number"}

EMBEDDING_LIST = Component(
    "EmbeddingList",
    listing(
        members(
            ("object", "index", "embedding"),
            object=constant("embedding"),
            index=COUNT,
            embedding={
                **alternatives({"type": "array", "items": {"type": "number"}}, _TEXT),
                "description": "Numbers; with `encoding_format: base64` little-endian float32 in base64.",
            },
        ),
        ("model", "usage"),
        model=_TEXT,
        usage=members(("prompt_tokens", "total_tokens"), prompt_tokens=COUNT, total_tokens=COUNT, cost=COST),
    ),
)
_USAGE = members(input_tokens=COUNT, output_tokens=COUNT, total_tokens=COUNT, cost=COST)
_IMAGE = members(
    b64_json={"type": ["string", "null"], "description": "The image in base64."},
    url={"type": ["string", "null"], "description": "Where it can be fetched for a while, at some providers."},
    revised_prompt=or_null(_TEXT),
)
IMAGES = Component(
    "Images",
    members(
        ("created", "data"),
        created={"type": "integer", "description": "Unix seconds."},
        data={"type": "array", "items": _IMAGE, "minItems": 1},
        size=or_null(_TEXT),
        quality=or_null(_TEXT),
        output_format=or_null(_TEXT),
        usage=or_null(_USAGE),
    ),
)


def _events(name: str, **members_: Tree) -> Component:
    event = members(("type",), type=_TEXT, usage=or_null(_USAGE), **members_)
    return Component(
        name,
        {
            **alternatives(event, ERROR),
            "description": "The JSON of one `data:` line. An error is the last of a stream that did not end well.",
        },
    )


IMAGE_EVENTS = _events("ImageStreamEvent", b64_json=_TEXT)
SPEECH_EVENTS = _events("SpeechStreamEvent", audio={"type": "string", "description": "A piece of it in base64."})
TRANSCRIPT_EVENTS = _events("TranscriptStreamEvent", delta=_TEXT, text=_TEXT)
TRANSCRIPTION = Component(
    "Transcription",
    members(
        ("text",),
        text=_TEXT,
        language=or_null(_TEXT),
        duration=or_null({"type": ["number", "string"]}),
        segments=or_null({"type": "array"}),
        words=or_null({"type": "array"}),
        usage=or_null(members(type=_TEXT, seconds=_NUMBER, input_tokens=COUNT, output_tokens=COUNT, cost=COST)),
    ),
)
MODERATION = Component(
    "Moderation",
    members(
        ("results",),
        id=_TEXT,
        model=_TEXT,
        results={
            "type": "array",
            "items": members(
                ("flagged", "categories", "category_scores"),
                flagged={"type": "boolean"},
                categories={"type": "object"},
                category_scores={"type": "object"},
            ),
        },
    ),
)
