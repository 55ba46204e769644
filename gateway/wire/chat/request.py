"""Validation of a Chat Completions request, field by field.

Source: OpenAI's `openapi.yaml`, CreateChatCompletionRequest. `null` in an optional field means that it is absent (the
official SDKs send it so). Words that only the provider interprets (`reasoning_effort`, `verbosity`) are checked for
their type alone, and unknown fields travel on: providers invent both weekly. What would change the model or its price
does not.

Folding a stream into a completion and back is in `gateway.wire.chat.fold`, re-exported here.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.wire.chat.fold import ChatFold, fold_stream, unfold
from gateway.wire.chat.messages import check_messages
from gateway.wire.validators import (
    Check,
    array,
    boolean,
    filled_array,
    filled_string,
    integer,
    kind,
    mapping,
    number,
    one_of,
    printable,
    refuse,
    refuse_type,
    string,
)

__all__ = ["FORBIDDEN_FIELDS", "ChatFold", "fold_stream", "refuse_forbidden", "unfold", "validate_chat"]

_WHERE = "where a request is sent is decided by the operator's configuration"
_WHOSE = "the gateway uses the operator's credentials; send your own gateway key in the Authorization header"
_WHAT = "which model answers, and what is added to it, is decided by the operator, who prices and allows it by its name"
_TRANSPORT = "the SDK sends this itself; it is not part of the request body"

FORBIDDEN_FIELDS: dict[str, str] = {
    "apibase": _WHERE,
    "baseurl": _WHERE,
    "apiurl": _WHERE,
    "endpoint": _WHERE,
    "apitype": _WHERE,
    "apiversion": _WHERE,
    "azureendpoint": _WHERE,
    "customllmprovider": _WHERE,
    "modellist": _WHERE,
    "userconfig": _WHERE,
    "litellmparams": _WHERE,
    "routersettings": _WHERE,
    "routersettingsoverride": _WHERE,
    "provider": _WHERE,
    "route": _WHERE,
    "models": _WHAT,
    "fallbacks": _WHAT,
    "contextwindowfallbacks": _WHAT,
    "contentpolicyfallbacks": _WHAT,
    "preset": _WHAT,
    "plugins": _WHAT,
    "apikey": _WHOSE,
    "organization": _WHOSE,
    "authorization": _WHOSE,
    "litellmcredentialname": _WHOSE,
    "azureadtoken": _WHOSE,
    "awsaccesskeyid": _WHOSE,
    "awssecretaccesskey": _WHOSE,
    "awssessiontoken": _WHOSE,
    "awsbedrockruntimeendpoint": _WHERE,
    "vertexcredentials": _WHOSE,
    "headers": _TRANSPORT,
    "extraheaders": _TRANSPORT,
    "defaultheaders": _TRANSPORT,
    "extrabody": _TRANSPORT,
    "extraquery": _TRANSPORT,
}
"""Body fields that try to steer routing or credentials, with the reason given to the caller.

Keys are lower case without separators, so that `api_base`, `apiBase` and `api-base` are one: elsewhere such fields
leaked the operator's keys, and then did so again under another spelling. The gateway itself reads none of them; but
an upstream may be a gateway, too, and would: a list of `models` would get past a key's allow-list and the price.
"""

_SEPARATORS = re.compile(r"[^a-z0-9]")


def refuse_forbidden(key: str) -> None:
    """Raise CallerFault(400) when a top-level body field is one of FORBIDDEN_FIELDS, in any spelling."""
    reason = FORBIDDEN_FIELDS.get(_SEPARATORS.sub("", key[:64].lower()))
    if reason is not None:
        refuse(key, f"is not allowed in a request: {reason}. Remove the field.", code="forbidden_parameter")


def _model(path: str, value: Any) -> None:
    if type(value) is not str or not value:
        refuse_type(path, "the id of a model, such as 'provider/model'", value)
    if len(value) > 256 or not value.isprintable():
        refuse(path, "expected the id of a model: at most 256 printable characters", code="invalid_value")


def _stop(path: str, value: Any) -> None:
    if type(value) is str:
        if not value:
            refuse_type(path, "a non-empty string or an array of up to 4", value, "leave the field out for none")
        return
    if type(value) is not list or not 1 <= len(value) <= 4:
        got = f"an array of {len(value)} elements" if type(value) is list else kind(value)
        refuse(path, f"expected a non-empty string or an array of 1 to 4 strings, got {got}", code="invalid_type")
    for index, item in enumerate(value):
        filled_string(f"{path}[{index}]", item)


def _metadata(path: str, value: Any) -> None:
    mapping(path, value)
    if len(value) > 16:
        refuse(path, f"expected at most 16 pairs, got {len(value)}", code="too_many_properties")
    for key, item in value.items():
        if len(key) > 64:
            refuse(f"{path}.{key[:64]}", f"a key has at most 64 characters, this one has {len(key)}")
        if type(item) is not str:
            refuse_type(f"{path}.{key}", "a string", item, "write numbers and flags as text")
        if len(item) > 512:
            refuse(f"{path}.{key}", f"a value has at most 512 characters, this one has {len(item)}")


_TIERS = frozenset({"auto", "default", "flex", "standard", "standard_only", "on_demand"})


def service_tier(path: str, value: Any) -> None:
    """A check: a tier that costs no more than the model's price says. Others (OpenAI: `priority`) cost a multiple of
    it, which would not be billed: prices know no tiers."""
    filled_string(path, value)
    if value not in _TIERS:
        refuse(
            path,
            f"'{printable(value, 40)}' is not offered, since prices are those of the default tier; "
            f"expected one of {', '.join(sorted(_TIERS))}",
            code="invalid_value",
        )


_bias = number(-100, 100)


def _logit_bias(path: str, value: Any) -> None:
    mapping(path, value)
    for key, item in value.items():
        _bias(f"{path}.{printable(key, 40)}", item)


def _stream_options(path: str, value: Any) -> None:
    mapping(path, value)
    for key in ("include_usage", "include_obfuscation"):
        if value.get(key) is not None:
            boolean(f"{path}.{key}", value[key])


_format_type = one_of(("text", "json_object", "json_schema"), {"json": "use json_object"})


def _response_format(path: str, value: Any) -> None:
    if type(value) is not dict:
        refuse_type(path, "an object", value, 'send {"type": "json_object"} or a json_schema')
    _format_type(f"{path}.type", value.get("type"))
    if value["type"] != "json_schema":
        return
    schema = value.get("json_schema")
    if type(schema) is not dict:
        refuse_type(f"{path}.json_schema", "an object with a name and a schema", schema)
    filled_string(f"{path}.json_schema.name", schema.get("name"))
    for key, check in (("description", string), ("schema", mapping), ("strict", boolean)):
        if schema.get(key) is not None:
            check(f"{path}.json_schema.{key}", schema[key])


def _modalities(path: str, value: Any) -> None:
    filled_array(path, value)
    for index, item in enumerate(value):
        filled_string(f"{path}[{index}]", item)


def _audio(path: str, value: Any) -> None:
    mapping(path, value)
    if value.get("format") is not None:
        filled_string(f"{path}.format", value["format"])
    if value.get("voice") is not None and type(value["voice"]) is not dict:  # a custom voice is an object
        filled_string(f"{path}.voice", value["voice"])


def _prediction(path: str, value: Any) -> None:
    mapping(path, value)
    content = value.get("content")
    if type(content) is not str and (type(content) is not list or not content):
        refuse_type(f"{path}.content", "a string or an array of text parts", content)


# OpenAI allows [a-zA-Z0-9_-]{1,64}. Others take more: 128 characters, dots, colons, and a leading dollar sign for
# functions that run at the provider. What no provider takes is refused here; the rest is the provider's to judge.
_NAME = re.compile(r"[A-Za-z0-9_$.:-]{1,128}")


def _function_name(path: str, name: Any) -> None:
    if type(name) is not str or not name:
        refuse_type(path, "the name of a function", name)
    if _NAME.fullmatch(name) is None:
        problem = f"'{printable(name, 80)}' is not a function name; use at most 128 letters, digits, '_', '-', '.', ':'"
        refuse(path, problem, code="invalid_value")


def _function(path: str, value: Any) -> None:
    if type(value) is not dict:
        refuse_type(path, "an object with the function's name and parameters", value)
    _function_name(f"{path}.name", value.get("name"))
    for key, check in (("description", string), ("parameters", mapping), ("strict", boolean)):
        if value.get(key) is not None:
            check(f"{path}.{key}", value[key])


def _custom_tool(path: str, value: Any) -> None:
    mapping(path, value)
    _function_name(f"{path}.name", value.get("name"))
    if value.get("description") is not None:
        string(f"{path}.description", value["description"])
    if value.get("format") is not None:
        mapping(f"{path}.format", value["format"])
        filled_string(f"{path}.format.type", value["format"].get("type"))


_TOOL_CHECKS: dict[str, Check] = {"function": _function, "custom": _custom_tool}


def _tools(path: str, value: Any) -> None:
    """Any number of tools: OpenAI takes 128, others more. Kinds of tools we do not know travel on."""
    array(path, value)
    for index, tool in enumerate(value):
        at = f"{path}[{index}]"
        if type(tool) is not dict:
            refuse_type(at, "a tool object with a type", tool)
        if tool.get("type") is None:
            refuse_type(f"{at}.type", "'function' or another kind of tool", None)
        filled_string(f"{at}.type", tool["type"])
        kind_of_tool: str = tool["type"]
        check = _TOOL_CHECKS.get(kind_of_tool)
        if check is None:
            continue
        if kind_of_tool not in tool and "name" in tool:
            refuse(
                f"{at}.{kind_of_tool}",
                f"is missing; in Chat Completions the name and parameters of a tool stand inside '{kind_of_tool}'",
                code="missing_required_parameter",
            )
        check(f"{at}.{kind_of_tool}", tool.get(kind_of_tool))


def _functions(path: str, value: Any) -> None:
    filled_array(path, value)
    for index, function in enumerate(value):
        _function(f"{path}[{index}]", function)


_SIXTY_FOUR_BITS = integer(-(2**63), 2**63 - 1)

_FIELDS: dict[str, Check] = {
    "model": _model,
    "messages": check_messages,
    "stream": boolean,
    "stream_options": _stream_options,
    "max_tokens": integer(1, 2**63 - 1, "tokens"),
    "max_completion_tokens": integer(1, 2**63 - 1, "tokens"),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "frequency_penalty": number(-2, 2),
    "presence_penalty": number(-2, 2),
    "n": integer(1, 128),
    "seed": _SIXTY_FOUR_BITS,
    "stop": _stop,
    "logprobs": boolean,
    "top_logprobs": integer(0, 20),
    "logit_bias": _logit_bias,
    "response_format": _response_format,
    "tools": _tools,
    "parallel_tool_calls": boolean,
    "functions": _functions,
    "reasoning_effort": filled_string,
    "verbosity": filled_string,
    "service_tier": service_tier,
    "modalities": _modalities,
    "audio": _audio,
    "prediction": _prediction,
    "web_search_options": mapping,
    "user": string,
    "safety_identifier": string,
    "prompt_cache_key": string,
    "metadata": _metadata,
    "store": boolean,
}

_CHOSEN_BELOW = frozenset({"tool_choice", "function_call"})


def validate_chat(body: dict[str, Any], *, allow_missing_model: bool) -> None:
    """Check a chat request; the body is not changed.

    allow_missing_model: the gateway has a default model.
    Raises CallerFault (400) whose `param` is the path of the first wrong field (`messages[2].content[1].text`).
    """
    for key, value in body.items():
        if value is None:
            continue
        check = _FIELDS.get(key)
        if check is not None:
            check(key, value)
        elif key not in _CHOSEN_BELOW:
            refuse_forbidden(key)
    if body.get("messages") is None:
        refuse("messages", "is missing; send an array of messages", code="missing_required_parameter")
    if body.get("model") is None and not allow_missing_model:
        refuse("model", "is missing; name a model, as listed by GET /models", code="missing_required_parameter")
    _check_together(body)


def _check_together(body: dict[str, Any]) -> None:
    """Rules between fields."""
    if body.get("stream_options") is not None and body.get("stream") is not True:
        refuse("stream_options", "is only allowed with stream: true; set it or remove stream_options")
    if body.get("top_logprobs") is not None and body.get("logprobs") is not True:
        refuse("top_logprobs", "is only allowed with logprobs: true; set it or remove top_logprobs")
    old, new = body.get("max_tokens"), body.get("max_completion_tokens")
    if old is not None and new is not None and old != new:
        # OpenAI refuses both together; equal values are harmless, different ones have no right answer.
        problem = f"contradicts max_completion_tokens ({old} and {new}); send only max_completion_tokens"
        refuse("max_tokens", problem)
    if body.get("tool_choice") is not None:
        _check_tool_choice("tool_choice", body["tool_choice"], body.get("tools") or [])
    if body.get("function_call") is not None:
        _check_function_call("function_call", body["function_call"], body.get("functions") or [])


_CHOICES = ("none", "auto", "required")
_choice_word = one_of(_CHOICES, {"any": "use required"})


def _check_tool_choice(path: str, choice: Any, tools: list[dict[str, Any]]) -> None:
    if type(choice) is str:
        _choice_word(path, choice)
        if choice == "required" and not tools:
            refuse(path, "'required' needs at least one tool; add tools or remove tool_choice")
        return
    if type(choice) is not dict:
        refuse_type(path, 'none, auto, required or an object such as {"type": "function", "function": ...}', choice)
    kind_of_choice = choice.get("type")
    filled_string(f"{path}.type", kind_of_choice)
    if kind_of_choice in _TOOL_CHECKS:
        _check_named_tool(path, choice, tools)
    elif kind_of_choice == "allowed_tools":
        _check_allowed_tools(f"{path}.allowed_tools", choice.get("allowed_tools"), tools)
    elif kind_of_choice in _CHOICES or kind_of_choice in ("any", "tool"):
        refuse(f"{path}.type", "expected function, allowed_tools or custom; none, auto and required are plain strings")
    # Other kinds name tools that run at a provider; the provider judges them.


def _check_named_tool(path: str, named: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    """`{"type": T, T: {"name": ...}}` names one of the tools."""
    kind_of_tool = named["type"]
    inner = named.get(kind_of_tool)
    if type(inner) is not dict:
        refuse_type(f"{path}.{kind_of_tool}", "an object with the tool's name", inner)
    filled_string(f"{path}.{kind_of_tool}.name", inner.get("name"))
    name: str = inner["name"]
    known = [tool[kind_of_tool]["name"] for tool in tools if tool["type"] == kind_of_tool]
    if name not in known:
        _refuse_unknown_name(f"{path}.{kind_of_tool}.name", name, known, "tools")


def _refuse_unknown_name(path: str, name: str, known: list[str], where: str) -> None:
    listed = printable(", ".join(known[:10]), 300) if known else "none"
    problem = f"'{printable(name, 80)}' is not defined in {where}; defined: {listed}"
    refuse(path, problem, code="invalid_value")


_allowed_mode = one_of(("auto", "required"))


def _check_allowed_tools(path: str, allowed: Any, tools: list[dict[str, Any]]) -> None:
    if type(allowed) is not dict:
        refuse_type(path, "an object with a mode and tools", allowed)
    _allowed_mode(f"{path}.mode", allowed.get("mode"))
    filled_array(f"{path}.tools", allowed.get("tools"))
    for index, tool in enumerate(allowed["tools"]):
        at = f"{path}.tools[{index}]"
        mapping(at, tool)
        filled_string(f"{at}.type", tool.get("type"))
        if tool["type"] in _TOOL_CHECKS:
            _check_named_tool(at, tool, tools)


def _check_function_call(path: str, call: Any, functions: list[dict[str, Any]]) -> None:
    """The older spelling of tool_choice."""
    if type(call) is str:
        if call not in ("none", "auto"):
            refuse(path, f"expected none, auto or {{\"name\": ...}}, got '{printable(call, 40)}'", code="invalid_value")
        return
    mapping(path, call)
    filled_string(f"{path}.name", call.get("name"))
    known = [function["name"] for function in functions]
    if call["name"] not in known:
        _refuse_unknown_name(f"{path}.name", call["name"], known, "functions")
