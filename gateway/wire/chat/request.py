"""Validation of a Chat Completions request, field by field.

Source: OpenAI's `openapi.yaml`, CreateChatCompletionRequest. `null` in an optional field means that it is absent (the
official SDKs send it so). Words that only the provider interprets (`reasoning_effort`, `verbosity`) are checked for
their type alone, and unknown fields travel on: providers invent both weekly. What would change the model or its price
does not.

Folding a stream into a completion and back is in `gateway.wire.chat.fold`, re-exported here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.wire.chat.fold import ChatFold, fold_stream, unfold
from gateway.wire.chat.messages import messages
from gateway.wire.chat.tools import (
    FUNCTION,
    FUNCTION_CALL_TREE,
    TOOL_CHOICE_TREE,
    TOOLS,
    check_function_call,
    check_tool_choice,
)
from gateway.wire.json_schema import Tree, alternatives, or_null, tagged
from gateway.wire.schema_refs import json_schema
from gateway.wire.validators import (
    Validator,
    array,
    boolean,
    filled_string,
    integer,
    kind,
    mapping,
    number,
    obj,
    object_tree,
    one_of,
    printable,
    refuse,
    refuse_type,
    string,
)

__all__ = ["CHAT_REQUEST", "FORBIDDEN_FIELDS", "ChatFold", "fold_stream", "refuse_forbidden", "unfold", "validate_chat"]

_WHERE = "where a request is sent is decided by the operator's configuration"
_WHOSE = "the gateway uses the operator's credentials; send your own gateway key in the Authorization header"
_WHAT = "which model answers, and what is added to it, is decided by the operator, who prices and allows it by its name"
_HOW_MUCH = "it would get past the limit that is held for; use max_completion_tokens and n"
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
    "npredict": _HOW_MUCH,
    "numpredict": _HOW_MUCH,
    "maxnewtokens": _HOW_MUCH,
    "ncmpl": _HOW_MUCH,
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
"""Body fields that try to steer routing, credentials or the bill, with the reason given to the caller.

Keys are lower case without separators, so that `api_base`, `apiBase` and `api-base` are one: elsewhere such fields
leaked the operator's keys, and then did so again under another spelling. The gateway itself reads none of them; but
an upstream may be a gateway, too, and would: a list of `models` would get past a key's allow-list and the price. A
server's own names of the limits would go before those that are sent: llama.cpp lets `n_predict` replace `max_tokens`.
"""

_ELSEWHERE = frozenset(
    {
        "best_of", "conversation", "documents", "file", "image", "images", "input", "mask", "max_output_tokens",
        "partial_images", "previous_response_id", "prompt", "quality", "query", "size", "system", "voice",
    }
)  # fmt: skip
"""Fields of requests that are no chat, and count like those of one."""
_SEPARATORS = re.compile(r"[^a-z0-9]")


def refuse_forbidden(key: str) -> None:
    """Raise CallerFault(400) when a top-level body field that a door does not know is one of FORBIDDEN_FIELDS, in any
    spelling and whatever of it a form names (`provider[order]`), or another spelling of a field that is checked."""
    name = key[:64].partition("[")[0]
    reason = FORBIDDEN_FIELDS.get(_SEPARATORS.sub("", name.lower()))
    if reason is not None:
        refuse(key, f"is not allowed in a request: {reason}. Remove the field.", code="forbidden_parameter")
    folded = name.casefold()
    if folded != name and (folded in _FIELDS or folded in _LATER or folded in _ELSEWHERE):
        # Servers in Go match names in any case, and take the last: `Model` would replace the `model` that is priced.
        refuse(key, f"is to be written {folded!r}", code="forbidden_parameter")


NOT_FORBIDDEN = {"propertyNames": {"not": {"enum": sorted(FORBIDDEN_FIELDS)}}}
"""The schema's part about FORBIDDEN_FIELDS; it knows one of the spellings that are refused."""


def _check_model(path: str, value: Any) -> None:
    if type(value) is not str or not value:
        refuse_type(path, "the id of a model, such as 'provider/model'", value)
    if len(value) > 256 or not value.isprintable():
        refuse(path, "expected the id of a model: at most 256 printable characters", code="invalid_value")


_MODEL = Validator(_check_model, {"type": "string", "minLength": 1, "maxLength": 256})


def _check_stop(path: str, value: Any) -> None:
    if type(value) is str:
        if not value:
            refuse_type(path, "a non-empty string or an array of up to 4", value, "leave the field out for none")
        return
    if type(value) is not list or not 1 <= len(value) <= 4:
        got = f"an array of {len(value)} elements" if type(value) is list else kind(value)
        refuse(path, f"expected a non-empty string or an array of 1 to 4 strings, got {got}", code="invalid_type")
    for index, item in enumerate(value):
        filled_string.check(f"{path}[{index}]", item)


_STOP = Validator(
    _check_stop,
    alternatives(filled_string.tree, {"type": "array", "items": filled_string.tree, "minItems": 1, "maxItems": 4}),
)

METADATA_TREE = {
    "type": "object",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}


def _check_metadata(path: str, value: Any) -> None:
    mapping.check(path, value)
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


def _check_tier(path: str, value: Any) -> None:
    filled_string.check(path, value)
    if value not in _TIERS:
        refuse(
            path,
            f"'{printable(value, 40)}' is not offered, since prices are those of the default tier; "
            f"expected one of {', '.join(sorted(_TIERS))}",
            code="invalid_value",
        )


service_tier = Validator(_check_tier, {"type": "string", "enum": sorted(_TIERS)}).about(
    "A tier that costs no more than the model's price says; others would not be billed, since prices know no tiers."
)

_bias = number(-100, 100)


def _check_logit_bias(path: str, value: Any) -> None:
    mapping.check(path, value)
    for key, item in value.items():
        _bias.check(f"{path}.{printable(key, 40)}", item)


_STREAM_OPTIONS = obj(
    {
        "include_usage": boolean.about("Usage comes in a chunk of its own, whose `choices` are empty."),
        "include_obfuscation": boolean,
    }
)

_SCHEMA_FORMAT = obj(
    {"name": filled_string, "description": string, "schema": json_schema, "strict": boolean},
    required=("name",),
    expected="an object with a name and a schema",
)
_FORMATS = ("text", "json_object", "json_schema")
_format_type = one_of(_FORMATS, {"json": "use json_object"})


def _check_response_format(path: str, value: Any) -> None:
    if type(value) is not dict:
        refuse_type(path, "an object", value, 'send {"type": "json_object"} or a json_schema')
    _format_type.check(f"{path}.type", value.get("type"))
    if value["type"] == "json_schema":
        _SCHEMA_FORMAT.check(f"{path}.json_schema", value.get("json_schema"))


_RESPONSE_FORMAT = Validator(
    _check_response_format,
    tagged(
        {
            "text": {},
            "json_object": {},
            "json_schema": {"properties": {"json_schema": _SCHEMA_FORMAT.tree}, "required": ["json_schema"]},
        },
        others=False,
    ),
)

_CUSTOM_VOICE: dict[str, Any] = {"type": "object"}


def _check_voice(path: str, value: Any) -> None:
    if type(value) is not dict:  # a custom voice is an object
        filled_string.check(path, value)


_AUDIO = obj(
    {"format": filled_string, "voice": Validator(_check_voice, alternatives(filled_string.tree, _CUSTOM_VOICE))}
)


def _check_prediction(path: str, value: Any) -> None:
    mapping.check(path, value)
    content = value.get("content")
    if type(content) is not str and (type(content) is not list or not content):
        refuse_type(f"{path}.content", "a string or an array of text parts", content)


_PREDICTION = Validator(
    _check_prediction,
    {
        "type": "object",
        "properties": {"content": alternatives({"type": "string"}, {"type": "array", "minItems": 1})},
        "required": ["content"],
    },
)


_TOKENS = integer(1, 2**63 - 1, "tokens")
_CLAMPED = "It may be lowered to what the model, the balance and the key can bear; see `x-gateway-clamped`."

_FIELDS: dict[str, Validator] = {
    "model": _MODEL.about("`provider/model` or an alias, as listed by `GET /models`; the default model without it."),
    "messages": messages.about("The conversation so far."),
    "stream": boolean.about("Answer as `text/event-stream`, chunk by chunk."),
    "stream_options": _STREAM_OPTIONS.about("Only with `stream: true`."),
    "max_tokens": _TOKENS.about(f"The older name of `max_completion_tokens`. {_CLAMPED}"),
    "max_completion_tokens": _TOKENS.about(f"The most tokens to answer with, thoughts included. {_CLAMPED}"),
    "temperature": number(0, 2).about("How freely the next token is drawn."),
    "top_p": number(0, 1).about("Draw from the likeliest tokens that together have this probability."),
    "frequency_penalty": number(-2, 2).about("Makes tokens less likely the more often they occurred."),
    "presence_penalty": number(-2, 2).about("Makes tokens less likely that occurred at all."),
    "n": integer(1, 128).about("How many answers to make; each is billed."),
    "seed": integer(-(2**63), 2**63 - 1).about("For answers that repeat, as far as the provider can."),
    "stop": _STOP.about("Ends the answer before one of these texts."),
    "logprobs": boolean.about("Tell the log probabilities of the answer's tokens."),
    "top_logprobs": integer(0, 20).about("How many likely tokens to tell at each place; only with `logprobs: true`."),
    "logit_bias": Validator(_check_logit_bias, {"type": "object", "additionalProperties": _bias.tree}).about(
        "Token ids with what is added to their logits."
    ),
    "response_format": _RESPONSE_FORMAT.about("Text, any JSON object, or JSON after a schema."),
    "tools": TOOLS.about("What the model may call. Tools that have a price of their own are refused."),
    "parallel_tool_calls": boolean.about("Whether one answer may call several tools."),
    "functions": array(FUNCTION, filled=True).about("The older form of `tools`."),
    "reasoning_effort": filled_string.about("How much to think, in the provider's words: `low`, `medium`, `high`."),
    "verbosity": filled_string.about("How much to say, in the provider's words."),
    "service_tier": service_tier,
    "modalities": array(filled_string, filled=True).about("What to answer with, such as `text` and `audio`."),
    "audio": _AUDIO.about("Voice and format of a spoken answer."),
    "prediction": _PREDICTION.about("What the answer will mostly be, for speed."),
    "web_search_options": mapping.about("Lets the model search, where its provider can."),
    "user": string.about("Who asks, for the provider's abuse detection."),
    "safety_identifier": string.about("The same in OpenAI's newer name."),
    "prompt_cache_key": string.about("Groups requests that begin alike, for the provider's cache."),
    "metadata": Validator(_check_metadata, METADATA_TREE).about("Pairs of text, which travel on."),
    "store": boolean.about("Whether the provider may keep the answer."),
}
CHAT_FIELDS: Mapping[str, Validator] = MappingProxyType(_FIELDS)
"""The members of a request by name; other dialects of OpenAI's share many of them."""
_CHECKS = {name: field.check for name, field in _FIELDS.items()}

_LATER: dict[str, Tree] = {
    "tool_choice": {**TOOL_CHOICE_TREE, "description": "Whether and which tools are to be called."},
    "function_call": {**FUNCTION_CALL_TREE, "description": "The older form of `tool_choice`."},
}
"""Fields that are checked after all others, with what those say."""


def validate_chat(body: dict[str, Any], *, allow_missing_model: bool) -> None:
    """Check a chat request; the body is not changed.

    allow_missing_model: the gateway has a default model.
    Raises CallerFault (400) whose `param` is the path of the first wrong field (`messages[2].content[1].text`).
    """
    for key, value in body.items():
        if value is None:
            continue
        check = _CHECKS.get(key)
        if check is not None:
            check(key, value)
        elif key not in _LATER:
            refuse_forbidden(key)
    if body.get("messages") is None:
        refuse("messages", "is missing; send an array of messages", code="missing_required_parameter")
    if body.get("model") is None and not allow_missing_model:
        refuse("model", "is missing; name a model, as listed by GET /models", code="missing_required_parameter")
    _check_together(body)


_TOGETHER = frozenset({"stream_options", "top_logprobs", "max_completion_tokens", "tool_choice", "function_call"})
"""What is allowed with or without something else only: one of each pair."""


def _check_together(body: dict[str, Any]) -> None:
    """Rules between fields."""
    if _TOGETHER.isdisjoint(body):
        return  # nearly always
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
        check_tool_choice("tool_choice", body["tool_choice"], body.get("tools") or [])
    if body.get("function_call") is not None:
        check_function_call("function_call", body["function_call"], body.get("functions") or [])


def _request_tree() -> Tree:
    tree = object_tree(_FIELDS, ("messages",))
    later = {name: or_null(part) for name, part in _LATER.items()}
    return {**tree, "properties": {**tree["properties"], **later}, **NOT_FORBIDDEN}


def _check_request(path: str, value: Any) -> None:
    mapping.check(path, value)
    validate_chat(value, allow_missing_model=True)


CHAT_REQUEST = Validator(_check_request, _request_tree())
"""A whole request, as `validate_chat` checks it."""
