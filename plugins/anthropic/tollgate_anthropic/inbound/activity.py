"""What the gateway did for an answer, as the blocks that Anthropic has for what its own servers do; and what such
blocks of earlier turns tell, as items of OpenAI's Responses API.

Source: Anthropic's API reference: web search tool, web fetch tool, MCP connector.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import Activity, dict_of, dicts_of, load_exact, text_of
from tollgate_anthropic.searches import search_id

Json = dict[str, Any]


def blocks_of(activity: Any) -> list[Json]:
    """The blocks for what has ended; nothing for what is not the gateway's own."""
    if not isinstance(activity, Activity):
        return []
    found: list[Json] = []
    for event in activity:
        if event.get("event") != "done":
            continue
        item = dict_of(event.get("item"))
        if item.get("type") == "web_search_call":
            found += _search(item)
        elif item.get("type") == "mcp_call":
            found += _call(item)
    return found


def _search(item: Json) -> list[Json]:
    action = dict_of(item.get("action"))
    failed = item.get("status") != "completed"
    use_id = "srvtoolu_" + text_of(item.get("id")).partition("_")[2]
    if action.get("type") == "open_page":
        url = text_of(action.get("url"))
        use = {"type": "server_tool_use", "id": use_id, "name": "web_fetch", "input": {"url": url}}
        page: Json = {"type": "web_fetch_result", "url": url, "retrieved_at": None}
        page["content"] = {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": text_of(item.get("text"))},
            "title": None,
        }
        if failed:
            page = {"type": "web_fetch_tool_result_error", "error_code": "unavailable"}
        return [use, {"type": "web_fetch_tool_result", "tool_use_id": use_id, "content": page}]
    use = {
        "type": "server_tool_use",
        "id": use_id,
        "name": "web_search",
        "input": {"query": text_of(action.get("query"))},
    }
    results: Any = [
        {
            "type": "web_search_result",
            "url": text_of(result.get("url")),
            "title": text_of(result.get("title")),
            "encrypted_content": "",
            "page_age": None,
        }
        for result in dicts_of(item.get("results"))
    ]
    if failed:
        results = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    return [use, {"type": "web_search_tool_result", "tool_use_id": use_id, "content": results}]


def _call(item: Json) -> list[Json]:
    use_id = "mcptoolu_" + text_of(item.get("id")).partition("_")[2]
    try:
        given = load_exact(text_of(item.get("arguments")) or "{}")
    except orjson.JSONDecodeError:
        given = {}
    use = {
        "type": "mcp_tool_use",
        "id": use_id,
        "name": text_of(item.get("name")),
        "server_name": text_of(item.get("server_label")),
        "input": given if isinstance(given, dict) else {},
    }
    error = item.get("error")
    content: list[Json] = [{"type": "text", "text": text_of(item.get("output"))}]
    if error:
        content = dicts_of(dict_of(error).get("content"))
    result = {"type": "mcp_tool_result", "tool_use_id": use_id, "is_error": bool(error), "content": content}
    return [use, result]


def item_of_use(block: Json) -> Json:
    """The item for a `server_tool_use` or `mcp_tool_use` block, without what came of it."""
    given = dict_of(block.get("input"))
    identity = {"id": search_id(block.get("id")), "status": "in_progress"}
    if block.get("type") == "mcp_tool_use":
        names = {"name": block.get("name"), "server_label": block.get("server_name")}
        return {**identity, **names, "type": "mcp_call", "arguments": orjson.dumps(given).decode()}
    if block.get("name") == "web_fetch":
        return {**identity, "type": "web_search_call", "action": {"type": "open_page", "url": given.get("url")}}
    action = {"type": "search", "query": given.get("query")}
    return {**identity, "type": "web_search_call", "action": action}


def outcome_of(block: Json) -> Json:
    """The members of that item that its result block tells."""
    content = block.get("content")
    if block.get("type") == "mcp_tool_result":
        texts = [text_of(part.get("text")) for part in dicts_of(content)]
        said = content if isinstance(content, str) else "\n".join(texts)
        failed = block.get("is_error") is True
        return {"status": "failed", "error": said} if failed else {"status": "completed", "output": said}
    if isinstance(content, list):
        return {"status": "completed", "results": dicts_of(content)}
    page = dict_of(content)
    if "error_code" in page:
        return {"status": "failed"}
    document = dict_of(page.get("content"))
    source = dict_of(document.get("source"))
    return {"status": "completed", "text": text_of(source.get("data")) if source.get("type") == "text" else ""}
