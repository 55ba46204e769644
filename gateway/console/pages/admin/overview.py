"""/admin: whether all is well, and what is not."""

from __future__ import annotations

from gateway.console.page import Answer, Visit, page
from gateway.console.pages.admin.common import admin_of
from gateway.http.api.admin import system

_RECENT = 200
_LATE = 500  # the status from which on it is not the caller's fault


@page("GET", "/admin", template="admin/overview.html", needs="admin")
async def overview(visit: Visit) -> Answer:
    """Providers, warnings of the configuration, and how the last calls ended."""
    admin = admin_of(visit)
    rows = await admin.stores.usage.recent(limit=_RECENT)
    providers = await system.providers(visit.context.gateway, visit.runtime)
    return {
        "providers": providers,
        "cooling": [target for one in providers for target in one["targets"] if target["state"] != "closed"],
        "warnings": system.configuration(visit.runtime)["warnings"],
        "calls": len(rows),
        "since": rows[-1].row.created if rows else None,
        "failed": sum(1 for row in rows if row.row.status >= _LATE),
        "refused": sum(1 for row in rows if 400 <= row.row.status < _LATE),
        "acts": await system.audit(admin, {}, limit=8),
    }


PAGES = (overview,)
