"""Schemas of what the Responses API answers, beside the builders whose objects they describe (`objects`, `events`).

Source: OpenAI's OpenAPI document 2.3.0. Members and kinds of items and events that only some providers have are not
named; they travel on.
"""

from __future__ import annotations

from typing import Any

from gateway.wire.chat.answers import COST, COUNT, constant, members
from gateway.wire.json_schema import Component, Tree, alternatives, or_null, tagged
from gateway.wire.responses.objects import new_response

_TEXT: Tree = {"type": "string"}
_LIST: Tree = {"type": "array"}
_STATUS: Tree = {
    "type": "string",
    "enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"],
}

USAGE = Component(
    "ResponseUsage",
    members(
        ("input_tokens", "output_tokens", "total_tokens"),
        input_tokens=COUNT,
        input_tokens_details=or_null(members(cached_tokens=or_null(COUNT))),
        output_tokens=COUNT,
        output_tokens_details=or_null(members(reasoning_tokens=or_null(COUNT))),
        total_tokens=COUNT,
        cost=COST,
    ),
)
PART = Component(
    "ResponseContentPart",
    tagged(
        {
            "output_text": members(("text", "annotations"), text=_TEXT, annotations=_LIST),
            "refusal": members(("refusal",), refusal=_TEXT),
            "input_text": members(("text",), text=_TEXT),
            "reasoning_text": members(("text",), text=_TEXT),
            "summary_text": members(("text",), text=_TEXT),
        }
    ),
)
_PARTS: Tree = {"type": "array", "items": PART}
_RESULT = members(("id", "call_id", "output"), id=_TEXT, call_id=_TEXT, output=alternatives(_TEXT, _LIST))
ITEM = Component(
    "ResponseItem",
    tagged(
        {
            "message": members(("id", "role", "content"), id=_TEXT, role=_TEXT, content=_PARTS, status=_TEXT),
            "reasoning": members(
                ("id", "summary"),
                id=_TEXT,
                summary=_PARTS,
                content=or_null(_PARTS),
                encrypted_content=or_null(_TEXT),
            ),
            "function_call": members(
                ("id", "call_id", "name", "arguments"), id=_TEXT, call_id=_TEXT, name=_TEXT, arguments=_TEXT
            ),
            "custom_tool_call": members(
                ("id", "call_id", "name", "input"), id=_TEXT, call_id=_TEXT, name=_TEXT, input=_TEXT
            ),
            "function_call_output": _RESULT,
            "custom_tool_call_output": _RESULT,
        }
    ),
)
RESPONSE = Component(
    "Response",
    members(
        tuple(new_response({}, response_id="", model="", now=0)),
        id=_TEXT,
        object=constant("response"),
        created_at={"type": "integer", "description": "Unix seconds."},
        completed_at=or_null({"type": "integer"}),
        status=_STATUS,
        model=_TEXT,
        output={"type": "array", "items": ITEM},
        usage=or_null(USAGE),
        error=or_null(members(("code", "message"), code=_TEXT, message=_TEXT)),
        incomplete_details=or_null(members(("reason",), reason=_TEXT)),
        metadata={"type": "object", "additionalProperties": _TEXT},
        store={"type": "boolean"},
        previous_response_id=or_null(_TEXT),
    ),
)


def _event(required: tuple[str, ...] = (), **more: Any) -> Tree:
    return members(("sequence_number", *required), sequence_number=COUNT, **more)


_PLACE: dict[str, Any] = {"item_id": _TEXT, "output_index": COUNT}
_IN_PART: dict[str, Any] = {**_PLACE, "content_index": COUNT}
_IN_SUMMARY: dict[str, Any] = {**_PLACE, "summary_index": COUNT}


def _pair(name: str, place: dict[str, Any], done: str) -> dict[str, Tree]:
    """The events of a text that comes in pieces: `NAME.delta`, and `NAME.done` with all of it in the member `done`."""
    return {
        f"response.{name}.delta": _event((*place, "delta"), **place, delta=_TEXT),
        f"response.{name}.done": _event((*place, done), **place, **{done: _TEXT}),
    }


def _part_pair(name: str, place: dict[str, Any]) -> dict[str, Tree]:
    tree = _event((*place, "part"), **place, part=PART)
    return {f"response.{name}.added": tree, f"response.{name}.done": tree}


_WHOLE = _event(("response",), response=RESPONSE)
_ITEM = _event(("output_index", "item"), output_index=COUNT, item=ITEM)
_EVENTS: dict[str, Tree] = {
    **{f"response.{word}": _WHOLE for word in ("created", "queued", "in_progress")},
    **{f"response.{word}": _WHOLE for word in ("completed", "incomplete", "failed", "cancelled")},
    "response.output_item.added": _ITEM,
    "response.output_item.done": _ITEM,
    **_part_pair("content_part", _IN_PART),
    **_pair("output_text", _IN_PART, "text"),
    **_pair("refusal", _IN_PART, "refusal"),
    **_pair("reasoning_text", _IN_PART, "text"),
    **_part_pair("reasoning_summary_part", _IN_SUMMARY),
    **_pair("reasoning_summary_text", _IN_SUMMARY, "text"),
    **_pair("function_call_arguments", _PLACE, "arguments"),
    **_pair("custom_tool_call_input", _PLACE, "input"),
    "error": _event(("code", "message", "param"), code=or_null(_TEXT), message=_TEXT, param=or_null(_TEXT)),
}
STREAM_EVENT = Component(
    "ResponseStreamEvent",
    {
        **tagged(_EVENTS),
        "description": "The JSON of one `data:` line; `event:` repeats its `type`. Events are numbered from 0.",
    },
)

COMPACTED = Component(
    "CompactedResponse",
    members(
        ("id", "object", "output", "created_at", "usage"),
        id=_TEXT,
        object=constant("response.compaction"),
        output={"type": "array", "items": ITEM},
        created_at={"type": "integer"},
        usage=or_null({"type": "object"}),
    ),
)
DELETED = members(("id", "object", "deleted"), id=_TEXT, object=_TEXT, deleted={"type": "boolean", "const": True})
ITEM_LIST = Component(
    "ResponseItemList",
    members(
        ("object", "data", "first_id", "last_id", "has_more"),
        object=constant("list"),
        data={"type": "array", "items": ITEM},
        first_id=_TEXT,
        last_id=_TEXT,
        has_more={"type": "boolean"},
    ),
)
INPUT_TOKENS = members(("object", "input_tokens"), object=constant("response.input_tokens"), input_tokens=COUNT)
CONVERSATION = Component(
    "Conversation",
    members(
        ("id", "object", "created_at", "metadata"),
        id=_TEXT,
        object=constant("conversation"),
        created_at={"type": "integer"},
        metadata={"type": "object", "additionalProperties": _TEXT},
    ),
)
