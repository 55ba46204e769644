"""GET /chat: the playground. The page is a frame and what its scripts need; they call the API like any client."""

from __future__ import annotations

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
            "base_url": visit.base_url,
            "mcp_servers": [label for label, server in config.mcp_servers.items() if server.allows(account, "")],
            "credits_per_usd": config.credits.per_usd,
            "currency": config.console.currency,
            "currency_per_usd": float(config.console.currency_per_usd),
        }
    }


PAGES = (chat,)
