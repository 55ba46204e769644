"""The objects of the Responses API: the response, its items and parts, lists of items, usage and errors.

Source: OpenAI's OpenAPI document 2.3.0 (`Response`, `OutputItem`, `ResponseItemList`, `ResponseUsage`,
`ResponseError`), and the Open Responses specification of 2026-04-24, which wants every nullable field present.
Key order follows what OpenAI sends. Pure: times are unix seconds given by the caller, ids come from `responses_ids`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import CallerFault, Fault
from gateway.wire.responses.complete import complete_usage
from gateway.wire.responses.ids import Minter, item_id_for_call
from gateway.wire.usage import read_usage

# -- the response -----------------------------------------------------------------------------------------------

# What OpenAI answers for a field that the request leaves out; every one of them is part of the object.
_ECHO: tuple[tuple[str, Any], ...] = (
    ("background", False),
    ("frequency_penalty", 0.0),
    ("instructions", None),
    ("max_output_tokens", None),
    ("max_tool_calls", None),
    ("parallel_tool_calls", True),
    ("presence_penalty", 0.0),
    ("previous_response_id", None),
    ("prompt_cache_key", None),
    ("prompt_cache_retention", None),
    ("safety_identifier", None),
    ("service_tier", "auto"),
    ("store", True),
    ("temperature", 1.0),
    ("tool_choice", "auto"),
    ("top_logprobs", 0),
    ("top_p", 1.0),
    ("truncation", "disabled"),
)


def echo_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request's parameters as a response repeats them, defaults filled in."""
    echo = {key: default if request.get(key) is None else request[key] for key, default in _ECHO}
    reasoning = request.get("reasoning") or {}
    echo["reasoning"] = {
        "effort": reasoning.get("effort"),
        "summary": reasoning.get("summary") or reasoning.get("generate_summary"),
    }
    text = request.get("text") or {}
    echo["text"] = {"format": _echo_format(text.get("format")), "verbosity": text.get("verbosity") or "medium"}
    echo["tools"] = [_echo_tool(tool) for tool in request.get("tools") or ()]
    echo["metadata"] = dict(request.get("metadata") or {})
    conversation = request.get("conversation")
    if conversation is not None:
        echo["conversation"] = {"id": conversation} if isinstance(conversation, str) else {"id": conversation["id"]}
    # The published schemas know these two as values only, never as null.
    for key in ("prompt", "user"):
        if request.get(key) is not None:
            echo[key] = request[key]
    return echo


def _echo_format(given: Mapping[str, Any] | None) -> dict[str, Any]:
    if not given:
        return {"type": "text"}
    if given.get("type") != "json_schema":
        return dict(given)
    return {
        "type": "json_schema",
        "description": None,
        "name": given.get("name"),
        "schema": given.get("schema"),
        "strict": False,
        **{key: value for key, value in given.items() if value is not None},
    }


def _echo_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Function tools come back with every member. `strict` says what was done: nothing is enforced unasked."""
    if tool.get("type") == "mcp":
        return _echo_server(tool)
    if tool.get("type") != "function":
        return dict(tool)
    echo = {"type": "function", "description": None, "name": tool.get("name"), "parameters": None, **tool}
    if echo.get("strict") is None:
        echo["strict"] = False
    return echo


def _echo_server(tool: Mapping[str, Any]) -> dict[str, Any]:
    """An MCP server without what opens it: a response is kept, and shown to whoever may read it."""
    echo = {key: value for key, value in tool.items() if key not in ("headers", "authorization")}
    url = tool.get("server_url")
    if isinstance(url, str):
        scheme, _, rest = url.partition("://")
        host = rest.split("/")[0].split("?")[0].rpartition("@")[2]
        echo["server_url"] = f"{scheme}://{host}/<redacted>"
    return echo


def new_response(
    request: Mapping[str, Any], *, response_id: str, model: str, now: int, status: str = "in_progress"
) -> dict[str, Any]:
    """The response object at its beginning. now: unix seconds. status: `in_progress`, or `queued`."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": now,
        "status": status,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        **echo_of(request),
        "usage": None,
    }


def conclude(
    response: Mapping[str, Any],
    *,
    status: str,
    output: Sequence[Mapping[str, Any]],
    usage: Mapping[str, Any] | None,
    now: int,
    reason: str | None = None,
    error: Mapping[str, Any] | None = None,
    service_tier: str | None = None,
) -> dict[str, Any]:
    """The response object at its end. status: completed, incomplete, failed or cancelled.

    reason: why it is incomplete (`max_output_tokens`, `content_filter`). usage: in Responses form.
    service_tier: the tier that served it, when the upstream said; a tier left to choose (`auto`) ends as `default`.
    """
    ended = dict(response)
    ended["status"] = status
    ended["completed_at"] = now if status == "completed" else None
    ended["output"] = list(output)
    ended["usage"] = None if usage is None else dict(usage)
    ended["incomplete_details"] = None if reason is None else {"reason": reason}
    ended["error"] = None if error is None else dict(error)
    if service_tier in _TIERS:
        ended["service_tier"] = service_tier
    elif ended.get("service_tier") == "auto":
        ended["service_tier"] = "default"
    return ended


# Other providers have other names for their tiers; SDK types know only OpenAI's.
_TIERS = frozenset({"default", "flex", "scale", "priority", "fast", "ultrafast"})


def cancelled(response: Mapping[str, Any], *, now: int) -> dict[str, Any]:
    """The response object after `POST /responses/{id}/cancel`; what it holds of output and usage is kept."""
    return conclude(response, status="cancelled", output=response["output"], usage=response.get("usage"), now=now)


def deletion(response_id: str) -> dict[str, Any]:
    """The answer to `DELETE /responses/{id}`."""
    return {"id": response_id, "object": "response", "deleted": True}


# -- errors -----------------------------------------------------------------------------------------------------

# `ResponseErrorCode` of OpenAI's document; SDK types know no others.
_CODES = frozenset(
    {
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)


def error_of(fault: Fault) -> dict[str, Any]:
    """The `error` of a failed response: `code` out of OpenAI's closed list, `message` of the fault."""
    if fault.code in _CODES:
        code = fault.code
    elif fault.status == 429:
        code = "rate_limit_exceeded"
    elif fault.status < 500 and fault.status != 402:
        code = "invalid_prompt"
    else:
        code = "server_error"
    return {"code": code, "message": fault.message}


# -- items and parts --------------------------------------------------------------------------------------------


def text_part(text: str = "", annotations: Sequence[Any] = (), logprobs: Sequence[Any] = ()) -> dict[str, Any]:
    return {"type": "output_text", "annotations": list(annotations), "logprobs": list(logprobs), "text": text}


def refusal_part(refusal: str = "") -> dict[str, Any]:
    return {"type": "refusal", "refusal": refusal}


def message_item(item_id: str, content: Sequence[Mapping[str, Any]], status: str) -> dict[str, Any]:
    return {"id": item_id, "type": "message", "status": status, "content": list(content), "role": "assistant"}


def function_call_item(call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    return {
        "id": item_id_for_call(call_id),
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": call_id,
        "name": name,
    }


def custom_call_item(call_id: str, name: str, text: str, status: str) -> dict[str, Any]:
    item_id = item_id_for_call(call_id, "custom_tool_call")
    return {
        "id": item_id,
        "type": "custom_tool_call",
        "status": status,
        "call_id": call_id,
        "input": text,
        "name": name,
    }


def reasoning_item(
    item_id: str, *, content: str = "", summary: str = "", encrypted_content: str | None = None
) -> dict[str, Any]:
    """content: the raw thoughts; summary: their summary; either may be empty."""
    item: dict[str, Any] = {
        "id": item_id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": summary}] if summary else [],
        "content": [{"type": "reasoning_text", "text": content}] if content else [],
    }
    if encrypted_content is not None:
        item["encrypted_content"] = encrypted_content
    return item


def web_searches(response: Mapping[str, Any]) -> int:
    """How many web searches the upstream made for this response; they are billed by the piece."""
    items = response.get("output")
    return (
        sum(1 for item in items or () if isinstance(item, Mapping) and item.get("type") == "web_search_call")
        if isinstance(items, list)
        else 0
    )


def usage_of_response(response: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage of a whole response, with the web searches that its items tell of; None when it has none."""
    usage = response.get("usage")
    if not isinstance(usage, dict) or not usage:
        return None
    searches = web_searches(response)
    return {**usage, "server_tool_use_details": {"web_search_requests": searches}} if searches else usage


# -- lists of items ---------------------------------------------------------------------------------------------

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call_output": "fco",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
    "mcp_call": "mcp",
    "compaction": "cmp",
}


def item_resources(items: Sequence[Mapping[str, Any]], seed: str) -> list[dict[str, Any]]:
    """Canonical items as the API lists them: with `id`, `status`, and content as a list of parts.

    seed: makes the ids of items that have none (see `Minter`); the same items and seed give the same ids.
    """
    minter = Minter(seed)
    listed = []
    for given in items:
        item = dict(given)
        kind = item.get("type")
        minted = minter.mint(_PREFIXES.get(str(kind), "item"))
        if not isinstance(item.get("id"), str):
            item["id"] = minted
        if kind == "message":
            content = item.get("content")
            if isinstance(content, str):
                own = item.get("role") == "assistant"
                item["content"] = [text_part(content) if own else {"type": "input_text", "text": content}]
            else:
                item["content"] = [_listed_part(part) for part in content or ()]
        elif kind == "reasoning":
            item.setdefault("summary", [])
        if kind != "reasoning" and item.get("status") is None:
            item["status"] = "completed"
        listed.append(item)
    return listed


def _listed_part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") == "output_text":
        return {**part, "annotations": part.get("annotations") or [], "logprobs": part.get("logprobs") or []}
    if part.get("type") == "input_image":
        return {"detail": "auto", **part}
    return dict(part)


def item_list(
    items: Sequence[Mapping[str, Any]], *, after: str | None = None, limit: int = 20, order: str = "desc"
) -> dict[str, Any]:
    """One page of items for `GET .../input_items`. items: oldest first; order: `asc` or `desc` (OpenAI's default).

    after: the id of the last item of the page before. limit: 1 to 100. Raises CallerFault.
    """
    if order not in ("asc", "desc"):
        raise CallerFault("order: must be 'asc' or 'desc'.", param="order")
    if not 1 <= limit <= 100:
        raise CallerFault("limit: must be between 1 and 100.", param="limit")
    ordered = list(items) if order == "asc" else list(reversed(items))
    start = 0
    if after:
        start = next((index + 1 for index, item in enumerate(ordered) if item["id"] == after), -1)
        if start < 0:
            raise CallerFault(f"after: there is no item with the id {after!r} in this list.", param="after")
    page = ordered[start : start + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else "",
        "last_id": page[-1]["id"] if page else "",
        "has_more": start + limit < len(ordered),
    }


# -- usage ------------------------------------------------------------------------------------------------------


def usage_from_chat(usage: Any) -> dict[str, Any] | None:
    """Chat Completions usage as Responses usage, or None when there is none. Unknown keys (`cost`, ...) travel on."""
    if not isinstance(usage, Mapping):
        return None
    seen = read_usage(usage)
    return {
        "input_tokens": seen.prompt_tokens,
        "input_tokens_details": {"cached_tokens": seen.cached_tokens, "cache_write_tokens": seen.cache_write_tokens},
        "output_tokens": seen.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": seen.reasoning_tokens},
        "total_tokens": seen.prompt_tokens + seen.completion_tokens,
        **{key: value for key, value in usage.items() if key not in _USAGE_KEYS and value is not None},
    }


def shown_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Usage in the names of either dialect, in Responses form and complete."""
    return (usage_from_chat(usage) if "prompt_tokens" in usage else None) or complete_usage(usage)


def usage_to_chat(usage: Any) -> dict[str, Any] | None:
    """Responses usage as Chat Completions usage, or None when there is none. Unknown keys travel on."""
    if not isinstance(usage, Mapping):
        return None
    seen = read_usage(usage)
    details = {"cached_tokens": seen.cached_tokens, "audio_tokens": seen.audio_input_tokens}
    if seen.cache_write_tokens:
        details["cache_write_tokens"] = seen.cache_write_tokens
    return {
        "prompt_tokens": seen.prompt_tokens,
        "completion_tokens": seen.completion_tokens,
        "total_tokens": seen.prompt_tokens + seen.completion_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": seen.reasoning_tokens,
            "audio_tokens": seen.audio_output_tokens,
        },
        **{key: value for key, value in usage.items() if key not in _USAGE_KEYS and value is not None},
    }


_USAGE_KEYS = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "cached_tokens",
        "input_tokens",
        "output_tokens",
        "input_tokens_details",
        "output_tokens_details",
    }
)
