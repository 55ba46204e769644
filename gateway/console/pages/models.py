"""The catalogue: GET /models, a page for each model, and GET /pricing."""

from __future__ import annotations

from decimal import Decimal

from gateway.console.page import Answer, Visit, page
from gateway.console.shown_models import ABILITIES, EVENTS, PRICES, SORTS, ShownModel, Wish, shown_models
from gateway.console.snippets import first_request, shown_operation
from gateway.errors import CallerFault

_IN_CHAT = ("images", "speech")
"""What the playground asks for besides talk; see `static/js/chat/media.js`."""


@page("GET", "/models", "/chat_models", template="models.html")
async def models(visit: Visit) -> Answer:
    """All models, filtered and sorted as the address says."""
    everything = await _all(visit)
    wish = Wish.of(visit.query)
    return {
        "models": wish.choose(everything),
        "total": len(everything),
        "wish": wish,
        "providers": sorted({model.provider for model in everything}),
        "abilities": {name: text for name, text in ABILITIES.items() if any(name in m.abilities for m in everything)},
        "words": ABILITIES,
        "sorts": SORTS,
    }


@page("GET", "/models/{id...}", template="model.html")
async def model(visit: Visit) -> Answer:
    """One model, by its id or an alias. Raises CallerFault 404."""
    name = visit.values["id"]
    entry = visit.runtime.catalog.public_one(name)
    wanted = entry.get("alias_of", name)
    found = next((one for one in await _all(visit) if one.id == wanted), None)
    if found is None:
        raise CallerFault("There is no such model.", status=404, code="model_not_found")
    operation = shown_operation(found.operations)
    talks = "chat" in found.operations and "text" in entry["architecture"]["output_modalities"]
    return {
        "model": found,
        "called": name,
        "words": ABILITIES,
        "price_names": PRICES,
        "event_names": EVENTS,
        "snippets": await first_request(visit, name, operation=operation) if operation else (),
        "in_chat": talks or any(name in _IN_CHAT for name in found.operations),
    }


@page("GET", "/pricing", template="pricing.html")
async def pricing(visit: Visit) -> Answer:
    """What everything costs: credits, models, tools."""
    everything = await _all(visit)
    config = visit.config
    tools = (
        ("Web search, each search", config.search.price),
        ("Web search, each page read", config.search.page_price),
        ("MCP server named in a request, each call", config.tools.mcp_call_price),
        *((f"MCP server {label}, each call", server.price) for label, server in config.mcp_servers.items()),
    )
    return {
        "models": [one for one in everything if one.priced],
        "tools": [(name, price) for name, price in tools if price],
        "methods": sorted(visit.runtime.payments),
        "per_usd": config.credits.per_usd,
        "grant": config.credits.signup_grant,
        "one": Decimal(1),
    }


async def _all(visit: Visit) -> list[ShownModel]:
    return await visit.generation.get(shown_models, visit.runtime.catalog)


PAGES = (models, model, pricing)
