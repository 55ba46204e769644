"""What the routes of this dialect take and answer, for the gateway's OpenAPI document.

Source: Anthropic's API reference ("Create a Message", "Count Message tokens", "Streaming Messages"). Members that are
not named travel on.
"""

from __future__ import annotations

from typing import Any

from gateway.api import Component, Operation, Parameter, SecurityScheme

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_OBJECT: Json = {"type": "object"}
_OBJECTS: Json = {"type": "array", "items": _OBJECT}
_BLOCKS: Json = {"type": "array", "items": {"type": "object", "required": ["type"], "properties": {"type": _TEXT}}}


def _object(required: tuple[str, ...], **properties: Any) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


_X_API_KEY = SecurityScheme(
    "xApiKey",
    {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same key, as Anthropic's SDKs send it.",
    },
)
_BEARER = SecurityScheme(
    "bearerKey",
    {"type": "http", "scheme": "bearer", "description": "A key of an account; it counts before `x-api-key`."},
)
AUTH = (_X_API_KEY, _BEARER)

ERROR = Component(
    "AnthropicError",
    _object(
        ("type", "error", "request_id"),
        type={"type": "string", "const": "error"},
        error=_object(("type", "message"), type=_TEXT, message=_TEXT),
        request_id=_TEXT,
    ),
)
_CONVERSATION: Json = {
    "model": {"type": ["string", "null"], "maxLength": 256, "description": "A model or an alias."},
    "messages": {
        "type": "array",
        "minItems": 1,
        "items": _object(
            ("role", "content"),
            role=_TEXT,
            content={"anyOf": [_TEXT, _BLOCKS]},
        ),
    },
    "system": {"anyOf": [_TEXT, _BLOCKS, {"type": "null"}]},
    "tools": {"anyOf": [_OBJECTS, {"type": "null"}]},
    "tool_choice": {"type": ["object", "null"]},
    "thinking": {"type": ["object", "null"]},
}
MESSAGES_REQUEST = Component(
    "MessagesRequest",
    _object(
        ("max_tokens", "messages"),
        **_CONVERSATION,
        max_tokens={"type": "integer", "minimum": 0, "description": "The most tokens to answer with; may be lowered."},
        stream={"type": ["boolean", "null"], "description": "Answer as `text/event-stream`."},
        temperature={"type": ["number", "null"]},
        top_p={"type": ["number", "null"]},
        top_k={"type": ["integer", "null"]},
        stop_sequences={"type": ["array", "null"], "items": _TEXT},
        metadata={"type": ["object", "null"]},
        output_config={"type": ["object", "null"]},
    ),
)
_USAGE = _object(
    ("input_tokens", "output_tokens"),
    input_tokens=_COUNT,
    output_tokens=_COUNT,
    cost={"type": "integer", "minimum": 0, "description": "What the call cost, in credits."},
)
MESSAGE = Component(
    "Message",
    _object(
        ("id", "type", "role", "model", "content", "stop_reason", "usage"),
        id=_TEXT,
        type={"type": "string", "const": "message"},
        role={"type": "string", "const": "assistant"},
        model=_TEXT,
        content=_BLOCKS,
        stop_reason={"type": ["string", "null"]},
        stop_sequence={"type": ["string", "null"]},
        usage=_USAGE,
    ),
)


def _event(kind: str, **properties: Any) -> Json:
    return _object(("type", *properties), type={"type": "string", "const": kind}, **properties)


STREAM_EVENT = Component(
    "MessageStreamEvent",
    {
        "anyOf": [
            _event("message_start", message=MESSAGE),
            _event("content_block_start", index=_COUNT, content_block=_OBJECT),
            _event("content_block_delta", index=_COUNT, delta=_OBJECT),
            _event("content_block_stop", index=_COUNT),
            _event("message_delta", delta=_OBJECT, usage=_OBJECT),
            _event("message_stop"),
            _event("ping"),
            ERROR,
        ],
        "description": "The JSON of one `data:` line; `event:` repeats its `type`.",
    },
)

MESSAGES = Operation(
    "Create a message",
    "Messages",
    "Anthropic's Messages API, on every model; streamed with `stream: true`.",
    auth=AUTH,
    parameters=(Parameter("anthropic-beta", "Goes on to providers that speak this dialect.", place="header"),),
    request=MESSAGES_REQUEST,
    answer=MESSAGE,
    events=STREAM_EVENT,
    errors=(400, 401, 402, 403, 404, 408, 409, 413, 415, 429, 500, 502, 503, 504),
    fault=ERROR,
    headers={"x-gateway-cost": "What the call cost, in credits.", "request-id": "The same as `x-request-id`."},
)
COUNT_TOKENS = Operation(
    "Count the input tokens of a message",
    "Messages",
    auth=AUTH,
    request=Component("CountTokensRequest", _object(("messages",), **_CONVERSATION)),
    answer=_object(("input_tokens",), input_tokens=_COUNT),
    errors=(400, 401, 403, 404, 408, 413, 415, 429, 500, 503),
    fault=ERROR,
    headers={"x-gateway-token-count": "`exact` or `estimated`."},
)
