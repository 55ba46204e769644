"""GET /: what this is, and how to start."""

from __future__ import annotations

from gateway.console.page import Answer, Visit, page
from gateway.console.snippets import first_request


@page("GET", "/", template="landing.html")
async def landing(visit: Visit) -> Answer:
    """What this service is, with a first request for this host, and how many models there are."""
    catalog = visit.runtime.catalog
    models = [model for model in catalog.public_list() if "alias_of" not in model]
    return {
        "snippets": await first_request(visit, catalog.usable() or "provider/model"),
        "count": len(models),
        "available": sum(1 for model in models if model["available"]),
        "demo": visit.runtime.demo_note,
    }


PAGES = (landing,)
