"""Is this a Responses request? Types, ranges and shapes, with the path of the first field that is wrong.

Source of the fields: OpenAI's OpenAPI document 2.3.0, `CreateResponse` and `InputItem`. What OpenAI only limits for
its own models (the least `max_output_tokens`, say) is left to the upstream. Unknown keys and unknown item types are
none of this module's business: they travel on. Keys that would steer the gateway itself are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import CallerFault
from gateway.wire.chat.request import METADATA_TREE, NOT_FORBIDDEN, refuse_forbidden, service_tier
from gateway.wire.json_schema import Component, Tree, alternatives, or_null, tagged
from gateway.wire.responses.items import item_type
from gateway.wire.schema_refs import check_references, json_schema
from gateway.wire.validators import (
    Validator,
    any_of,
    array,
    boolean,
    filled_string,
    integer,
    mapping,
    number,
    obj,
    object_tree,
    one_of,
    present,
    refuse,
    refuse_type,
    string,
)

_MOST = 2**63 - 1


def validate_responses(body: Any) -> None:
    """Check a request body that was parsed from JSON. Raises CallerFault; changes nothing."""
    if not isinstance(body, dict):
        raise CallerFault("The request body must be a JSON object.")
    for key, value in body.items():
        if value is None:
            continue
        check = _CHECKS.get(key)
        if check is not None:
            check(key, value)
        else:
            refuse_forbidden(key)
    _check_together(body)


def _check_together(body: Mapping[str, Any]) -> None:
    continues = [key for key in ("previous_response_id", "conversation") if body.get(key) is not None]
    if len(continues) == 2:
        refuse("previous_response_id", "cannot be used together with conversation; send one of the two")
    if body.get("background") is True and body.get("store") is False:
        refuse("background", "a background response must be stored; leave store out or set it to true")
    if body.get("input") in (None, []) and not continues and not body.get("prompt") and not body.get("instructions"):
        refuse("input", "is required: a string, or a list of items", code="missing_required_parameter")


# -- small parts ------------------------------------------------------------------------------------------------


def _need(validator: Validator) -> Validator:
    """The validator of a member that must be there."""
    return present(validator, "is required")


_NAMED_STRING = _need(filled_string)


def _check_metadata(path: str, value: Any) -> None:
    mapping.check(path, value)
    if len(value) > 16:
        refuse(path, "must have at most 16 entries")
    for key, entry in value.items():
        string.check(f"{path}.{key}", entry)
        if len(key) > 64:
            refuse(path, "keys must have at most 64 characters")
        if len(entry) > 512:
            refuse(f"{path}.{key}", "must have at most 512 characters")


metadata = Validator(_check_metadata, METADATA_TREE).about("Up to 16 pairs of text, kept with the object.")
"""Metadata of a response or a conversation."""


def _check_conversation(path: str, value: Any) -> None:
    if isinstance(value, dict):
        _NAMED_STRING.check(f"{path}.id", value.get("id"))
    else:
        filled_string.check(path, value)


_CONVERSATION = Validator(
    _check_conversation, alternatives(filled_string.tree, object_tree({"id": filled_string}, ("id",)))
)


# -- text format, tools, tool choice ----------------------------------------------------------------------------

_FORMATS = ("text", "json_object", "json_schema")
_FORMAT_TYPE = obj({"type": _need(one_of(_FORMATS))}, required=("type",))
_SCHEMA_FORMAT = obj(
    {"name": _NAMED_STRING, "schema": _need(json_schema), "strict": boolean, "description": string},
    required=("name", "schema"),
)


def _check_text_format(path: str, value: Any) -> None:
    _FORMAT_TYPE.check(path, value)
    if value["type"] == "json_schema":
        _SCHEMA_FORMAT.check(path, value)


_TEXT_FORMAT = Validator(
    _check_text_format, tagged({"text": {}, "json_object": {}, "json_schema": _SCHEMA_FORMAT.tree}, others=False)
)

_TYPED = obj({"type": _NAMED_STRING}, required=("type",))
_CALLABLE = obj(
    {"name": _NAMED_STRING, "description": string, "parameters": json_schema, "strict": boolean, "format": mapping},
    required=("name",),
)
_MCP = obj({"server_label": _NAMED_STRING}, required=("server_label",))


def _check_tool(path: str, value: Any) -> None:
    _TYPED.check(path, value)
    if value["type"] in ("function", "custom"):
        if isinstance(value.get("function"), dict) and "name" not in value:
            refuse(f"{path}.function", "the Responses API takes name and parameters directly in the tool")
        _CALLABLE.check(path, value)
    elif value["type"] == "mcp":
        _MCP.check(path, value)
    elif value["type"] == "namespace" and isinstance(value.get("tools"), list):
        for index, inner in enumerate(value["tools"]):
            check_references(f"{path}.tools[{index}]", inner)


_TOOL_KINDS = {"function": _CALLABLE, "custom": _CALLABLE, "mcp": _MCP}
_TOOL = Validator(_check_tool, tagged({word: tool.tree for word, tool in _TOOL_KINDS.items()}))


def _check_allowed_tool(path: str, value: Any) -> None:
    _TYPED.check(path, value)
    if value["type"] in ("function", "custom"):
        _NAMED_STRING.check(f"{path}.name", value.get("name"))


_NAMED = object_tree({"name": filled_string}, ("name",))
_ALLOWED_TOOL = Validator(_check_allowed_tool, tagged({"function": _NAMED, "custom": _NAMED}))
_ALLOWED_TOOLS = obj(
    {"mode": _need(one_of(("auto", "required"))), "tools": _need(array(_ALLOWED_TOOL))}, required=("mode", "tools")
)


def _check_tool_choice(path: str, value: Any) -> None:
    _check_allowed_tool(path, value)
    if value["type"] == "allowed_tools":
        _ALLOWED_TOOLS.check(path, value)


_TOOL_CHOICE = any_of(
    one_of(("none", "auto", "required")),
    Validator(
        _check_tool_choice,
        tagged({"function": _NAMED, "custom": _NAMED, "allowed_tools": _ALLOWED_TOOLS.tree}),
    ),
)


# -- input ------------------------------------------------------------------------------------------------------


def _check_input(path: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        refuse_type(path, "a string or an array of items", value)
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        mapping.check(where, item)
        if item.get("type") is not None:
            filled_string.check(f"{where}.type", item["type"])
        for key in _CALL_IDS:
            if item.get(key) is not None:
                string.check(f"{where}.{key}", item[key])
        known = _ITEMS.get(item_type(item))
        if known is not None:
            known.check(where, item)


def _check_content(path: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        refuse_type(path, "a string or an array of parts", value)
    for index, part in enumerate(value):
        where = f"{path}[{index}]"
        mapping.check(where, part)
        _NAMED_STRING.check(f"{where}.type", part.get("type"))
        known = _PARTS.get(part["type"])
        if known is not None:
            known.check(where, part)


def _check_link(path: str, value: Any) -> None:
    filled_string.check(path, value)
    if not value[:8].lower().startswith(("http://", "https://", "data:")):
        refuse(path, "must be an http(s) URL or a data: URL.")


_LINK = Validator(_check_link, {"type": "string", "pattern": r"^(?:[hH][tT][tT][pP][sS]?://|[dD][aA][tT][aA]:)"}).about(
    "An http(s) URL or a `data:` URL."
)


def _one_source(*names: str) -> Validator:
    """At least one of the members is there; a link is http(s) or data."""
    members = {name: _LINK if name.endswith("_url") else filled_string for name in names}

    def check(path: str, part: Any) -> None:
        if all(part.get(name) is None for name in names):
            refuse(f"{path}.{names[0]}", "is required, or " + " or ".join(names[1:]))
        for name, member in members.items():
            if part.get(name) is not None:
                member.check(f"{path}.{name}", part[name])

    given = [{"required": [name], "properties": {name: {"type": "string"}}} for name in names]
    return Validator(check, {**object_tree(members), "anyOf": given})


_SOUND = obj({"data": _NAMED_STRING, "format": _NAMED_STRING}, required=("data", "format"))
_TEXT_PART = obj({"text": _need(string)}, required=("text",))

_PARTS: dict[str, Validator] = {
    "input_text": _TEXT_PART,
    "output_text": _TEXT_PART,
    "text": _TEXT_PART,
    "refusal": obj({"refusal": _need(string)}, required=("refusal",)),
    "input_image": _one_source("image_url", "file_id"),
    "input_file": _one_source("file_id", "file_data", "file_url"),
    "input_audio": obj({"input_audio": _need(_SOUND)}, required=("input_audio",)),
    "input_video": _one_source("video_url"),
}
_PARTS_TREE = Component("ResponsesContentPart", tagged({word: part.tree for word, part in _PARTS.items()}))
_CONTENT = Validator(_check_content, alternatives({"type": "string"}, {"type": "array", "items": _PARTS_TREE}))

_MESSAGE = obj(
    {
        "role": _need(one_of(("user", "assistant", "system", "developer"))),
        "content": present(_CONTENT, "is required: a string, or a list of parts"),
    },
    required=("role", "content"),
)
_CALL_IDS = ("call_id", "callId", "id")
"""Texts in items of every type, those of tomorrow, too."""
_SOME_ID: Tree = {
    "anyOf": [{"required": [name], "properties": {name: filled_string.tree}} for name in _CALL_IDS],
}


def _check_some_id(path: str, item: Mapping[str, Any]) -> None:
    if not any(item.get(key) for key in _CALL_IDS):
        refuse(f"{path}.call_id", "is required")


def _call(argument: str) -> Validator:
    members = obj({"name": _NAMED_STRING, argument: _need(string)}, required=("name", argument))

    def check(path: str, item: Any) -> None:
        members.check(path, item)
        _check_some_id(path, item)

    return Validator(check, {**members.tree, "allOf": [_SOME_ID]})


_OUTPUT = obj({"output": present(_CONTENT, "is required: a string, or a list of content parts")}, required=("output",))


def _check_output(path: str, item: Any) -> None:
    _check_some_id(path, item)
    _OUTPUT.check(path, item)


_RESULT = Validator(_check_output, {**_OUTPUT.tree, "allOf": [_SOME_ID]})
_THOUGHTS = array(obj({"text": string}))

_ITEMS: dict[str, Validator] = {
    "message": _MESSAGE,
    "function_call": _call("arguments"),
    "custom_tool_call": _call("input"),
    "function_call_output": _RESULT,
    "custom_tool_call_output": _RESULT,
    "reasoning": obj({"id": string, "encrypted_content": string, "summary": _THOUGHTS, "content": _THOUGHTS}),
    "item_reference": obj({"id": _NAMED_STRING}, required=("id",)),
}


def _input_tree() -> Tree:
    """Items by their `type`; those without one are what `item_type` takes them for: messages by their `role`,
    references by their `id`."""
    unmarked = {"properties": {"type": {"type": "null"}}}
    marked = tagged({word: item.tree for word, item in _ITEMS.items()})["anyOf"]
    message = {**_MESSAGE.tree, "allOf": [unmarked]}
    reference = {**_ITEMS["item_reference"].tree, "allOf": [unmarked], "not": {"required": ["role"]}}
    ids = {name: or_null(string.tree) for name in _CALL_IDS}
    item = {**alternatives(*marked, message, reference), "properties": ids}
    return {"type": "array", "items": Component("ResponsesInputItem", item)}


items = Validator(_check_input, _input_tree())
"""A list of items, as a conversation takes them."""

_INPUT = Validator(_check_input, alternatives({"type": "string"}, items.tree))
_SUMMARY = one_of(("auto", "concise", "detailed"))

_FIELDS: dict[str, Validator] = {
    "model": filled_string.about(
        "`provider/model` or an alias, as listed by `GET /models`; the default model without it."
    ),
    "input": _INPUT.about("A text, or a list of items."),
    "instructions": string.about("What stands above the conversation; it is not carried on to later responses."),
    "max_output_tokens": integer(1, _MOST).about("The most tokens to answer with, thoughts included; may be lowered."),
    "max_tool_calls": integer(1, _MOST).about("The most calls of built-in tools."),
    "temperature": number(0, 2).about("How freely the next token is drawn."),
    "top_p": number(0, 1).about("Draw from the likeliest tokens that together have this probability."),
    "top_logprobs": integer(0, 20).about("How many likely tokens to tell at each place."),
    "presence_penalty": number(-2, 2).about("Makes tokens less likely that occurred at all."),
    "frequency_penalty": number(-2, 2).about("Makes tokens less likely the more often they occurred."),
    "tools": array(_TOOL).about("What the model may call. Tools that have a price of their own are refused."),
    "tool_choice": _TOOL_CHOICE.about("Whether and which tools are to be called."),
    "parallel_tool_calls": boolean.about("Whether one answer may call several tools."),
    "text": obj({"format": _TEXT_FORMAT, "verbosity": string}).about("Text, any JSON object, or JSON after a schema."),
    "reasoning": obj({"effort": string, "summary": _SUMMARY, "generate_summary": _SUMMARY}).about("How much to think."),
    "include": array(filled_string).about("More to tell, such as `reasoning.encrypted_content`."),
    "metadata": metadata,
    "user": string.about("Who asks, for the provider's abuse detection."),
    "safety_identifier": string.about("The same in OpenAI's newer name."),
    "prompt_cache_key": string.about("Groups requests that begin alike, for the provider's cache."),
    "service_tier": service_tier,
    "store": boolean.about("Whether the response is kept, so that it can be read and continued."),
    "previous_response_id": filled_string.about("The response that this one continues."),
    "conversation": _CONVERSATION.about("A conversation whose items stand before the input."),
    "truncation": one_of(("auto", "disabled")).about("What to do when the input is too long."),
    "background": boolean.about("Answer at once; the response goes on without its caller."),
    "stream": boolean.about("Answer as `text/event-stream`, event by event."),
    "stream_options": obj({"include_obfuscation": boolean}).about("Options of the stream."),
    "prompt": obj({"id": filled_string, "version": string, "variables": mapping}).about(
        "A prompt kept at the provider."
    ),
}
_CHECKS = {name: field.check for name, field in _FIELDS.items()}

KNOWN = frozenset(_FIELDS) | {"context_management", "moderation", "prompt_cache_retention"}
"""Top-level members of a request that belong to the Responses API."""


def _check_request(path: str, value: Any) -> None:
    mapping.check(path, value)
    validate_responses(value)


RESPONSES_REQUEST = Validator(_check_request, {**object_tree(_FIELDS), **NOT_FORBIDDEN})
"""A whole request, as `validate_responses` checks it."""
