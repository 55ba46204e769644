"""A Chat Completions request as a Responses request, for an upstream that only speaks Responses.

The rows below say what becomes of each parameter; whatever no row names travels on unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.wire.bridge.parts import assistant_content_from_chat, content_from_chat
from gateway.wire.bridge.request import LOGPROBS
from gateway.wire.bridge.tools import tool_choice_from_chat, tools_from_chat
from gateway.wire.chat.activity import MEMBER, tell_activity
from gateway.wire.chat.members import arguments_json
from gateway.wire.lenient import dict_of, dicts_of, text_of
from gateway.wire.responses.native import ENCRYPTED, sent_item
from gateway.wire.responses.sealed_reasoning import FOREIGN, PHASE, reasoning_of_delta
from gateway.wire.validators import refuse

Json = dict[str, Any]

_READ = frozenset(
    {
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "reasoning_effort",
        "response_format",
        "store",
        "stream_options",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    }
)

# The Responses API has no such parameter. A caller who demands strictness is refused by whoever reads `dropped`.
_DROPPED = frozenset({"frequency_penalty", "logit_bias", "prediction", "presence_penalty", "seed", "stop"})

_MARK = "cache_control"
_LEAST_OUTPUT = 16
"""The least `max_output_tokens` that OpenAI takes."""


def responses_from_chat(request: Mapping[str, Any]) -> tuple[Json, list[str]]:
    """The Responses request that says the same, and the paths of what could not be carried.

    request: a validated chat body, without `functions` (`gateway.wire.chat.functions`). Raises CallerFault for what
    must not be attempted (`n` above 1, audio answers).
    """
    if (request.get("n") or 1) > 1:
        refuse("n", "this model gives one answer at a time; send 1, or leave it out")
    if "audio" in (request.get("modalities") or ()):
        refuse("modalities", "this model cannot answer in audio through the API it is reached by")
    dropped: list[str] = []
    body: Json = {}
    for key, value in request.items():
        if key in _READ or value is None or key in ("n", "modalities", "audio"):
            continue
        if key in _DROPPED:
            dropped.append(key)
        else:
            body[key] = value
    body["input"] = items_from_messages(request["messages"], dropped)
    body["store"] = False
    include = [ENCRYPTED]
    if request.get("logprobs"):
        include.append(LOGPROBS)
        if request.get("top_logprobs") is not None:
            body["top_logprobs"] = request["top_logprobs"]
    body["include"] = include
    _output_limit(body, request, dropped)
    _text(body, request)
    if request.get("reasoning_effort") is not None:
        given = body.get("reasoning")
        body["reasoning"] = {**(given if isinstance(given, dict) else {}), "effort": request["reasoning_effort"]}
    _tools(body, request, dropped)
    return body, dropped


def _output_limit(body: Json, request: Mapping[str, Any], dropped: list[str]) -> None:
    for key in ("max_completion_tokens", "max_tokens"):
        limit = request.get(key)
        if limit is not None:
            body["max_output_tokens"] = max(limit, _LEAST_OUTPUT)
            if limit < _LEAST_OUTPUT:
                dropped.append(key)
            return


def _text(body: Json, request: Mapping[str, Any]) -> None:
    text: Json = {}
    chosen = request.get("response_format")
    if chosen is not None:
        schema = chosen.get("json_schema")
        text["format"] = {"type": chosen["type"], **schema} if isinstance(schema, Mapping) else dict(chosen)
    if request.get("verbosity") is not None:
        text["verbosity"] = request["verbosity"]
    if text:
        body["text"] = text


def _search(options: Mapping[str, Any]) -> Json:
    """chat's search as the built-in tool, which says a place without a frame and knows no `max_uses`."""
    tool = {"type": "web_search", **{name: value for name, value in options.items() if name != "max_uses"}}
    place = options.get("user_location")
    if isinstance(place, Mapping) and isinstance(place.get("approximate"), Mapping):
        tool["user_location"] = {"type": "approximate", **place["approximate"]}
    return tool


def _tools(body: Json, request: Mapping[str, Any], dropped: list[str]) -> None:
    given = request.get("tools") or ()
    if any(tool.get(_MARK) for tool in given) and _MARK not in dropped:
        dropped.append(_MARK)
    tools = tools_from_chat(given)
    options = request.get("web_search_options")
    if options is not None:
        tools.append(_search(options))
    if not tools:
        body.pop("parallel_tool_calls", None)
        return
    body["tools"] = tools
    choice = request.get("tool_choice")
    if choice is not None:
        body["tool_choice"] = tool_choice_from_chat(choice)


def items_from_messages(messages: Sequence[Mapping[str, Any]], dropped: list[str] | None = None) -> list[Json]:
    """Chat messages as Responses input items. dropped: takes the paths of what has no place there."""
    notes: list[str] = [] if dropped is None else dropped
    items: list[Json] = []
    for index, message in enumerate(messages):
        role = message["role"]
        if role == "assistant":
            items += _assistant(message, f"messages[{index}]", notes)
        elif role == "tool":
            items.append(_result(message["tool_call_id"], message.get("content")))
        else:
            item: Json = {"type": "message", "role": role, "content": content_from_chat(message.get("content"))}
            if message.get("name") is not None:
                notes.append(f"messages[{index}].name")
            items.append(item)
    return [sent_item(_unmarked(item, notes), "messages", notes) for item in _by_kind(items)]


def _unmarked(item: Json, dropped: list[str]) -> Json:
    """An item without marks of what Anthropic shall cache, which its parts have no place for; noted once."""
    name = "output" if "output" in item else "content"
    parts = item.get(name)
    if not isinstance(parts, list) or not any(isinstance(part, dict) and _MARK in part for part in parts):
        return item
    if _MARK not in dropped:
        dropped.append(_MARK)
    kept = [{key: value for key, value in part.items() if key != _MARK} for part in parts]
    return {**item, name: kept}


def _assistant(message: Mapping[str, Any], path: str, dropped: list[str]) -> list[Json]:
    text, details = reasoning_of_delta(message)
    thoughts = [dict(detail["item"]) for detail in details if detail.get("type") == FOREIGN and _has_item(detail)]
    if text and not thoughts:
        dropped.append(f"{path}.reasoning_content")
    searches = _searches(message)
    told = tell_activity(dict(message), {item["id"] for item in searches})
    content = assistant_content_from_chat(told.get("content"))
    if message.get("refusal"):
        content.append({"type": "refusal", "refusal": message["refusal"]})
    said = [{"type": "message", "role": "assistant", "content": content}] if content else []
    if told.get("content") == message.get("content") and not message.get("refusal"):
        said = _phased(message.get("content"), details) or said
    items = [*thoughts, *searches, *said]
    for call in message.get("tool_calls") or ():
        custom = call.get("custom")
        if isinstance(custom, Mapping):
            named = {"call_id": call["id"], "name": custom["name"], "input": custom["input"]}
            items.append({"type": "custom_tool_call", **named})
        else:
            function = call["function"]
            items.append(_call(call["id"], function["name"], arguments_json(function.get("arguments"), "arguments")))
    return items


def _phased(content: Any, details: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The messages of an answer, each with what it was meant as; none when that was not told, or of another text."""
    told = [detail for detail in details if detail.get("type") == PHASE]
    if not told or not isinstance(content, str):
        return []
    pieces: list[tuple[Any, str]] = []
    said = 0
    for at, detail in enumerate(told):
        start = detail.get("start")
        # One that was told before its text goes on to where the next begins.
        end = detail.get("end", told[at + 1].get("start") if at + 1 < len(told) else len(content))
        if type(start) is not int or type(end) is not int or not said <= start <= end <= len(content):
            return []
        pieces += [(None, content[said:start]), (detail.get("phase"), content[start:end])]
        said = end
    pieces.append((None, content[said:]))
    return [
        {"type": "message", "role": "assistant", "content": piece, **({"phase": phase} if phase else {})}
        for phase, piece in pieces
        if piece
    ]


def _searches(message: Mapping[str, Any]) -> list[Json]:
    """Searches of an earlier turn: items have a place for them, for all else done there are words."""
    found = [dict_of(event.get("item")) for event in dicts_of(message.get(MEMBER)) if event.get("event") == "done"]
    searches = [item for item in found if item.get("type") == "web_search_call" and isinstance(item.get("id"), str)]
    return [_with_sources(item) for item in searches if isinstance(item.get("action"), dict)]


def _with_sources(item: Json) -> Json:
    """A search whose results are said where the API has a place for them."""
    known: Json = {key: item[key] for key in ("type", "id", "status", "action") if key in item}
    results = [{"type": "url", "url": url} for one in dicts_of(item.get("results")) if (url := text_of(one.get("url")))]
    if not results or known["action"].get("type", "search") != "search" or known["action"].get("sources"):
        return known
    return {**known, "action": {**known["action"], "sources": results}}


def _has_item(detail: Mapping[str, Any]) -> bool:
    item = detail.get("item")
    return isinstance(item, Mapping) and item.get("type") == "reasoning"


def _call(call_id: str, name: str, arguments: str) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def _result(call_id: str, content: Any) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": content_from_chat(content)}


def _by_kind(items: list[Json]) -> list[Json]:
    """Outputs named after the kind of their calls: chat has one kind of tool message for both."""
    customs = {item["call_id"] for item in items if item["type"] == "custom_tool_call"}
    for item in items:
        if item["type"] == "function_call_output" and item["call_id"] in customs:
            item["type"] = "custom_tool_call_output"
    return items
