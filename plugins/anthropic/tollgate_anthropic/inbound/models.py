"""`GET /models` as Anthropic's SDKs read it. Source: Anthropic's API reference, "List Models" and "Get a Model".

Both dialects have this path. A request with the header `anthropic-version`, which Anthropic's clients always send,
gets Anthropic's shape; every other request goes on to the handler that was there before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.api import RequestContext
from tollgate_anthropic.draft import refuse

from .dialect import MessagesDialect

Handler = Callable[..., Awaitable[Any]]

_DEFAULT, _MOST = 20, 1000


def models_for(earlier: Handler) -> Handler:
    """A handler that answers Anthropic's clients, and passes all others on to `earlier`."""

    async def handler(context: RequestContext) -> Any:
        if context.header("anthropic-version") is None:
            return await earlier(context)
        context.dialect = MessagesDialect()
        await context.check_access()
        identity = context.values.get("id")
        if identity is not None:
            return context.json(shown(context.model(identity)))
        return context.json(page(context.models(), context.query))

    return handler


def shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One model. entry: as OpenAI's clients get it; its other members (prices, limits) stay."""
    return {
        **entry,
        "type": "model",
        "display_name": entry["name"],
        "created_at": datetime.fromtimestamp(entry["created"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": entry["context_length"],
        "max_tokens": entry["max_output_tokens"],
    }


def page(entries: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of the list. query: `limit` (1 to 1000), `after_id` or `before_id`. Raises CallerFault."""
    text = query.get("limit", str(_DEFAULT))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
    if not 1 <= limit <= _MOST:
        raise refuse("limit", f"must be a whole number from 1 to {_MOST}")
    names = [entry["id"] for entry in entries]
    start, end = 0, len(names)
    if "after_id" in query:
        start = _place(names, query["after_id"], "after_id") + 1
        end = min(end, start + limit)
        more = end < len(names)
    elif "before_id" in query:
        end = _place(names, query["before_id"], "before_id")
        start = max(0, end - limit)
        more = start > 0
    else:
        end = min(end, limit)
        more = end < len(names)
    data = [shown(entry) for entry in entries[start:end]]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": more, "first_id": first, "last_id": last}


def _place(names: list[str], name: str, parameter: str) -> int:
    if name not in names:
        raise refuse(parameter, "names no model of this gateway")
    return names.index(name)
