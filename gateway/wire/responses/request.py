"""Is this a Responses request? Types, ranges and shapes, with the path of the first field that is wrong.

Source of the fields: OpenAI's OpenAPI document 2.3.0, `CreateResponse` and `InputItem`. What OpenAI only limits for
its own models (the least `max_output_tokens`, say) is left to the upstream. Unknown keys and unknown item types are
none of this module's business: they travel on. Keys that would steer the gateway itself are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import CallerFault
from gateway.wire.chat.request import refuse_forbidden, service_tier
from gateway.wire.responses.items import item_type
from gateway.wire.validators import (
    Check,
    array,
    boolean,
    filled_string,
    integer,
    mapping,
    number,
    one_of,
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
        check = _FIELDS.get(key)
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


# -- combinations of checks -------------------------------------------------------------------------------------


def _members(**checks: Check) -> Check:
    """An object; each named member, when present and not null, passes its check."""

    def check(path: str, value: Any) -> None:
        mapping(path, value)
        for key, member in checks.items():
            if value.get(key) is not None:
                member(f"{path}.{key}", value[key])

    return check


def _each(member: Check) -> Check:
    def check(path: str, value: Any) -> None:
        array(path, value)
        for index, entry in enumerate(value):
            member(f"{path}[{index}]", entry)

    return check


def _require(value: Mapping[str, Any], key: str, path: str, check: Check) -> None:
    if value.get(key) is None:
        refuse(f"{path}.{key}", "is required")
    check(f"{path}.{key}", value[key])


def _metadata(path: str, value: Any) -> None:
    mapping(path, value)
    if len(value) > 16:
        refuse(path, "must have at most 16 entries")
    for key, entry in value.items():
        string(f"{path}.{key}", entry)
        if len(key) > 64:
            refuse(path, "keys must have at most 64 characters")
        if len(entry) > 512:
            refuse(f"{path}.{key}", "must have at most 512 characters")


def _conversation(path: str, value: Any) -> None:
    if isinstance(value, dict):
        _require(value, "id", path, filled_string)
    else:
        filled_string(path, value)


# -- text format, tools, tool choice ----------------------------------------------------------------------------


def _text_format(path: str, value: Any) -> None:
    mapping(path, value)
    _require(value, "type", path, one_of(("text", "json_object", "json_schema")))
    if value["type"] == "json_schema":
        _require(value, "name", path, filled_string)
        _require(value, "schema", path, mapping)
        _members(strict=boolean, description=string)(path, value)


def _tool(path: str, value: Any) -> None:
    mapping(path, value)
    _require(value, "type", path, filled_string)
    if value["type"] in ("function", "custom"):
        if isinstance(value.get("function"), dict) and "name" not in value:
            refuse(f"{path}.function", "the Responses API takes name and parameters directly in the tool")
        _require(value, "name", path, filled_string)
        _members(description=string, parameters=mapping, strict=boolean, format=mapping)(path, value)
    elif value["type"] == "mcp":
        _require(value, "server_label", path, filled_string)


def _tool_choice(path: str, value: Any) -> None:
    if isinstance(value, str):
        one_of(("none", "auto", "required"))(path, value)
        return
    mapping(path, value)
    _require(value, "type", path, filled_string)
    if value["type"] in ("function", "custom"):
        _require(value, "name", path, filled_string)
    elif value["type"] == "allowed_tools":
        _require(value, "mode", path, one_of(("auto", "required")))
        _require(value, "tools", path, _each(_allowed_tool))


def _allowed_tool(path: str, value: Any) -> None:
    mapping(path, value)
    _require(value, "type", path, filled_string)
    if value["type"] in ("function", "custom"):
        _require(value, "name", path, filled_string)


# -- input ------------------------------------------------------------------------------------------------------


def _input(path: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        refuse_type(path, "a string or an array of items", value)
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        mapping(where, item)
        if item.get("type") is not None:
            filled_string(f"{where}.type", item["type"])
        check = _ITEMS.get(item_type(item))
        if check is not None:
            check(where, item)


def _message(path: str, item: Any) -> None:
    _require(item, "role", path, one_of(("user", "assistant", "system", "developer")))
    if item.get("content") is None:
        refuse(f"{path}.content", "is required: a string, or a list of parts")
    _content(f"{path}.content", item["content"])


def _content(path: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        refuse_type(path, "a string or an array of parts", value)
    for index, part in enumerate(value):
        where = f"{path}[{index}]"
        mapping(where, part)
        _require(part, "type", where, filled_string)
        check = _PARTS.get(part["type"])
        if check is not None:
            check(where, part)


def _one_source(*names: str) -> Check:
    """At least one of the members is a filled string; a link is http(s) or data."""

    def check(path: str, part: Any) -> None:
        if all(part.get(name) is None for name in names):
            refuse(f"{path}.{names[0]}", "is required, or " + " or ".join(names[1:]))
        for name in names:
            if part.get(name) is None:
                continue
            filled_string(f"{path}.{name}", part[name])
            if name.endswith("_url"):
                _link(f"{path}.{name}", part[name])

    return check


def _link(path: str, value: str) -> None:
    if not value[:8].lower().startswith(("http://", "https://", "data:")):
        refuse(path, "must be an http(s) URL or a data: URL.")


def _input_audio(path: str, part: Any) -> None:
    _require(part, "input_audio", path, mapping)
    _require(part["input_audio"], "data", f"{path}.input_audio", filled_string)
    _require(part["input_audio"], "format", f"{path}.input_audio", filled_string)


def _needs_text(key: str) -> Check:
    return lambda path, part: _require(part, key, path, string)


def _call(argument: str) -> Check:
    def check(path: str, item: Any) -> None:
        _require(item, "name", path, filled_string)
        _require(item, argument, path, string)
        _some_id(path, item)

    return check


def _output(path: str, item: Any) -> None:
    _some_id(path, item)
    if item.get("output") is None:
        refuse(f"{path}.output", "is required: a string, or a list of content parts")
    _content(f"{path}.output", item["output"])


def _some_id(path: str, item: Mapping[str, Any]) -> None:
    for key in ("call_id", "callId", "id"):
        if item.get(key) is not None:
            string(f"{path}.{key}", item[key])
    if not (item.get("call_id") or item.get("callId") or item.get("id")):
        refuse(f"{path}.call_id", "is required")


def _reasoning(path: str, item: Any) -> None:
    _members(
        id=string,
        encrypted_content=string,
        summary=_each(_members(text=string)),
        content=_each(_members(text=string)),
    )(path, item)


def _reference(path: str, item: Any) -> None:
    _require(item, "id", path, filled_string)


_PARTS: dict[str, Check] = {
    "input_text": _needs_text("text"),
    "output_text": _needs_text("text"),
    "text": _needs_text("text"),
    "refusal": _needs_text("refusal"),
    "input_image": _one_source("image_url", "file_id"),
    "input_file": _one_source("file_id", "file_data", "file_url"),
    "input_audio": _input_audio,
    "input_video": _one_source("video_url"),
}

_ITEMS: dict[str, Check] = {
    "message": _message,
    "function_call": _call("arguments"),
    "custom_tool_call": _call("input"),
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "reasoning": _reasoning,
    "item_reference": _reference,
}

_SUMMARY = one_of(("auto", "concise", "detailed"))

_FIELDS: dict[str, Check] = {
    "model": filled_string,
    "input": _input,
    "instructions": string,
    "max_output_tokens": integer(1, _MOST),
    "max_tool_calls": integer(1, _MOST),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "top_logprobs": integer(0, 20),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "tools": _each(_tool),
    "tool_choice": _tool_choice,
    "parallel_tool_calls": boolean,
    "text": _members(format=_text_format, verbosity=string),
    "reasoning": _members(effort=string, summary=_SUMMARY, generate_summary=_SUMMARY),
    "include": _each(filled_string),
    "metadata": _metadata,
    "user": string,
    "safety_identifier": string,
    "prompt_cache_key": string,
    "service_tier": service_tier,
    "store": boolean,
    "previous_response_id": filled_string,
    "conversation": _conversation,
    "truncation": one_of(("auto", "disabled")),
    "background": boolean,
    "stream": boolean,
    "stream_options": _members(include_obfuscation=boolean),
    "prompt": _members(id=filled_string, version=string, variables=mapping),
}

KNOWN = frozenset(_FIELDS) | {"stream_options", "context_management", "moderation", "prompt_cache_retention"}
"""Top-level members of a request that belong to the Responses API."""


def validate_input(path: str, value: Any) -> None:
    """Check a string or a list of items that stands at `path`. Raises CallerFault."""
    _input(path, value)


def validate_metadata(path: str, value: Any) -> None:
    """Check metadata that stands at `path`. Raises CallerFault."""
    _metadata(path, value)
