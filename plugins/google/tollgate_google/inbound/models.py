"""`models.list` and `models.get` as Google's SDKs read them. Source: Google's API reference, "Models".

Below `/v1` OpenAI's dialect has the same paths. A request with the header `x-goog-api-key`, which Google's clients
send, gets Google's shape there; every other goes on to the handler that was there before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.api import CallerFault, RequestContext

from .dialect import GenerateDialect

Handler = Callable[..., Awaitable[Any]]

_DEFAULT, _MOST = 50, 1000
_METHODS = ["generateContent", "streamGenerateContent", "countTokens"]


async def models(context: RequestContext) -> Any:
    """GET /v1beta/models and /v1beta/models/{model}, or another version's."""
    context.dialect = GenerateDialect()
    refuse_key_in_url(context)
    await context.check_access()
    name = context.values.get("id")
    if name is None:
        return context.json(page(context.models(), context.query))
    return context.json(shown(context.model(known_name(context, name))))


def refuse_key_in_url(context: RequestContext) -> None:
    """Raises CallerFault for a key where Google's API takes one, too, but where proxies on the way log it."""
    if "key" in context.query:
        raise CallerFault(
            "key: a key in the URL ends up in logs; send it in the header x-goog-api-key instead.", param="key"
        )


def models_for(earlier: Handler) -> Handler:
    """A handler that answers Google's clients, and passes all others on to `earlier`."""

    async def handler(context: RequestContext) -> Any:
        theirs = context.header("x-goog-api-key") is not None and context.header("anthropic-version") is None
        return await (models if theirs else earlier)(context)

    return handler


def shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One model. entry: as OpenAI's clients get it."""
    made = {
        "name": f"models/{entry['id']}",
        "version": "001",
        "displayName": entry["name"],
        "description": entry["description"],
        "inputTokenLimit": entry["context_length"],
        "outputTokenLimit": entry["max_output_tokens"],
        "supportedGenerationMethods": _METHODS,
    }
    return {name: value for name, value in made.items() if value is not None}


def page(entries: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of the list. query: `pageSize` (above 1000 is 1000), and `pageToken`, the last model of the page before.
    Raises CallerFault."""
    text = query.get("pageSize") or str(_DEFAULT)
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if size < 1:
        raise CallerFault("pageSize: must be a whole number of at least 1.", param="pageSize")
    names = [entry["id"] for entry in entries]
    after = query.get("pageToken")
    if after and after not in names:
        raise CallerFault("pageToken: names no page of this list.", param="pageToken")
    start = names.index(after) + 1 if after else 0
    end = start + min(size, _MOST)
    made: dict[str, Any] = {"models": [shown(entry) for entry in entries[start:end]]}
    if end < len(names):
        made["nextPageToken"] = names[end - 1]
    return made


def known_name(context: RequestContext, name: str) -> str:
    """The catalogue's id for a model's name: itself, or the first id that ends with it where the name has no slash (as
    Google's own names have none). An unknown name stays as it is."""
    if "/" in name:
        return name
    ids = [entry["id"] for entry in context.models()]
    ending = "/" + name
    return name if name in ids else next((one for one in ids if one.endswith(ending)), name)
