"""Schemas of what chat completions answer.

Source: OpenAI's `openapi.yaml`, CreateChatCompletionResponse and CreateChatCompletionStreamResponse; `usage.cost` is
the gateway's. Members that only some providers send are not named; they travel on.
"""

from __future__ import annotations

from typing import Any

from gateway.wire.json_schema import Component, Tree, alternatives, or_null
from gateway.wire.openapi import ERROR

COUNT: Tree = {"type": "integer", "minimum": 0}
_TEXT: Tree = {"type": "string"}
_ANY_LIST: Tree = {"type": "array"}


def members(required: tuple[str, ...] = (), **properties: Any) -> Tree:
    """The schema of an object; members that are not named may be there."""
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def constant(word: str) -> Tree:
    """The schema of a member that always says the same."""
    return {"type": "string", "const": word}


def listing(of: Tree | Component, required: tuple[str, ...] = (), **more: Any) -> Tree:
    """The schema of `{"object": "list", "data": [...]}`."""
    data: Tree = {"type": "array", "items": of}
    return members(("object", "data", *required), object=constant("list"), data=data, **more)


COST: Tree = {"type": "integer", "minimum": 0, "description": "What the call cost, in credits."}

USAGE = Component(
    "ChatUsage",
    members(
        ("prompt_tokens", "completion_tokens", "total_tokens"),
        prompt_tokens=COUNT,
        completion_tokens=COUNT,
        total_tokens=COUNT,
        prompt_tokens_details=or_null(members(cached_tokens=or_null(COUNT), audio_tokens=or_null(COUNT))),
        completion_tokens_details=or_null(members(reasoning_tokens=or_null(COUNT), audio_tokens=or_null(COUNT))),
        cost=COST,
    ),
)
_FUNCTION = members(("name", "arguments"), name=_TEXT, arguments=_TEXT)
_TOOL_CALL = members(
    ("id", "type"), id=_TEXT, type=_TEXT, function=_FUNCTION, custom=members(("name", "input"), name=_TEXT, input=_TEXT)
)
_THOUGHTS: Tree = {**or_null(_TEXT), "description": "What the model thought, where its provider tells."}
_MESSAGE = members(
    ("role",),
    role=constant("assistant"),
    content=or_null(_TEXT),
    refusal=or_null(_TEXT),
    reasoning_content=_THOUGHTS,
    tool_calls=or_null({"type": "array", "items": _TOOL_CALL}),
    annotations=or_null(_ANY_LIST),
    audio=or_null({"type": "object"}),
)
_LOGPROBS = or_null({"type": "object"})
_REASON: Tree = {"type": "string", "description": "`stop`, `length`, `tool_calls`, `content_filter`."}
_FRAME: dict[str, Any] = {
    "id": _TEXT,
    "created": {"type": "integer", "description": "Unix seconds."},
    "model": {"type": "string", "description": "The name that was asked for."},
    "service_tier": or_null(_TEXT),
    "system_fingerprint": or_null(_TEXT),
}
_FRAME_NAMES = ("id", "object", "created", "model", "choices")

COMPLETION = Component(
    "ChatCompletion",
    members(
        _FRAME_NAMES,
        **_FRAME,
        object=constant("chat.completion"),
        choices={
            "type": "array",
            "minItems": 1,
            "items": members(
                ("index", "message", "finish_reason"),
                index=COUNT,
                message=_MESSAGE,
                finish_reason=_REASON,
                logprobs=_LOGPROBS,
            ),
        },
        usage=or_null(USAGE),
    ),
)

_CALL_DELTA = members(
    ("index",), index=COUNT, id=_TEXT, type=_TEXT, function=members(name=or_null(_TEXT), arguments=or_null(_TEXT))
)
_DELTA = members(
    role=or_null(_TEXT),
    content=or_null(_TEXT),
    refusal=or_null(_TEXT),
    reasoning_content=_THOUGHTS,
    tool_calls=or_null({"type": "array", "items": _CALL_DELTA}),
)
CHUNK = Component(
    "ChatCompletionChunk",
    members(
        _FRAME_NAMES,
        **_FRAME,
        object=constant("chat.completion.chunk"),
        choices={
            "type": "array",
            "items": members(
                ("index", "delta"), index=COUNT, delta=_DELTA, finish_reason=or_null(_REASON), logprobs=_LOGPROBS
            ),
        },
        usage=or_null(USAGE),
    ),
)
CHAT_EVENTS = Component(
    "ChatCompletionStreamEvent",
    {
        **alternatives(CHUNK, ERROR),
        "description": "The JSON of one `data:` line. The last line of a stream that ended well is `data: [DONE]`; an "
        "error is the last of one that did not.",
    },
)
