"""GET /chat: the playground. The page is a frame and what its scripts need; they call the API like any client."""

from __future__ import annotations

from gateway.catalog import Catalog
from gateway.console.page import Answer, Visit, page


@page("GET", "/chat", template="chat.html", needs="account")
async def chat(visit: Visit) -> Answer:
    """Try any model. `?model=` and `?prompt=` fill in an example, which is sent by hand only."""
    config = visit.config
    account = visit.visitor.account_id
    return {
        "setup": {
            # Conversations in one browser are kept apart by it.
            "account": account,
            "default_model": visit.runtime.catalog.usable() or "",
            "not_chat": _no_chat_models(visit.runtime.catalog),
            "base_url": visit.base_url,
            "mcp_servers": [label for label, server in config.mcp_servers.items() if server.allows(account, "")],
            "credits_per_usd": config.credits.per_usd,
            "currency": config.console.currency,
            "currency_per_usd": float(config.console.currency_per_usd),
        }
    }


def _no_chat_models(catalog: Catalog) -> list[str]:
    """The names of models that are there but cannot talk, such as those that make embeddings."""
    return [
        entry["id"]
        for entry in catalog.public_list()
        if entry["available"]
        and not any("chat" in target.profile.operations for target in catalog.resolve(entry["id"]).candidates)
    ]


PAGES = (chat,)
