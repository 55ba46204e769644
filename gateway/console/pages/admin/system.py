"""/admin/providers, /admin/models, /admin/plugins, /admin/configuration and /admin/audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.console.page import Answer, Visit, page
from gateway.console.pages.admin.common import PAGE, admin_of, chosen, filled, link, names_of
from gateway.console.shown_models import shown_model
from gateway.http.api.admin import system
from gateway.http.api.admin.access import SECRET_ACTOR

AUDIT = "/admin/audit"
_FAILURES = 30


@page("GET", "/admin/providers", template="admin/providers.html", needs="admin")
async def providers(visit: Visit) -> Answer:
    """Each provider with its targets, and the last attempts that failed."""
    gateway = visit.context.gateway
    return {
        "providers": await system.providers(gateway, visit.runtime),
        "failures": await system.attempts(gateway, outcome="failed", limit=_FAILURES),
    }


@page("GET", "/admin/models", template="admin/models.html", needs="admin")
async def models(visit: Visit) -> Answer:
    """What each name leads to."""
    return {
        "models": [{**model, "shown": shown_model(model)} for model in system.models(visit.runtime)],
        "off": visit.runtime.switched_off,
        "default": visit.config.default_model,
    }


@page("GET", "/admin/plugins", template="admin/plugins.html", needs="admin")
async def plugins(visit: Visit) -> Answer:
    """Plugins, and who runs in which phase."""
    return {"told": system.plugins(visit.runtime)}


@page("GET", "/admin/configuration", template="admin/configuration.html", needs="admin")
async def configuration(visit: Visit) -> Answer:
    """The configuration as it was loaded, section by section."""
    told = system.configuration(visit.runtime)
    sections = {name: list(_lines(value)) for name, value in told["values"].items() if isinstance(value, dict)}
    plain = [(name, _text(value)) for name, value in told["values"].items() if not isinstance(value, dict)]
    return {"told": told, "sections": {"": plain, **sections}}


def _lines(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a section as `a.b.c` and text."""
    for name, member in value.items():
        path = f"{prefix}{name}"
        if isinstance(member, dict) and member:
            yield from _lines(member, path + ".")
        elif isinstance(member, list) and any(isinstance(item, dict) for item in member):
            for number, item in enumerate(member):
                yield from _lines(item, f"{path}[{number}].") if isinstance(item, dict) else [(path, _text(item))]
        else:
            yield path, _text(member)


def _text(value: Any) -> str:
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "-"
    return str(value) if value != "" else "(empty)"


@page("GET", AUDIT, template="admin/audit.html", needs="admin")
async def audit(visit: Visit) -> Answer:
    """What administrators did, newest first. Raises CallerFault 400."""
    admin = admin_of(visit)
    wish, place = chosen(visit, "actor", "action", "subject"), chosen(visit, "before")
    rows = await system.audit(admin, filled(wish, place), limit=PAGE + 1)
    shown = rows[:PAGE]
    people = (row.actor for row in shown if row.actor.startswith("acct_"))
    return {
        "rows": shown,
        "names": {SECRET_ACTOR: "admin secret", **await names_of(admin, people)},
        "wish": wish,
        "newer": link(AUDIT, wish) if place["before"] else "",
        "filtered": bool(filled(wish)),
        "older": link(AUDIT, wish, before=str(shown[-1].seq)) if len(rows) > PAGE else "",
    }


PAGES = (providers, models, plugins, configuration, audit)
