"""What runs here: providers and how they do, models, plugins, the configuration, the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.config.shown import shown
from gateway.generation import Runtime
from gateway.http import web
from gateway.http.api.admin.access import Admin
from gateway.http.api.admin.people import MOST_ROWS
from gateway.http.api.fields import page_number
from gateway.runtime import Gateway
from gateway.stores import AuditEntry
from gateway.upstream.health import merge_health

_COUNTED_ATTEMPTS = 5_000
"""The newest attempts of each process, from which rates are made."""


async def targets(gateway: Gateway) -> list[dict[str, Any]]:
    """The health of every target that anything was sent to, over all processes."""
    said = await gateway.siblings.ask("targets")
    return merge_health(said.all)


async def attempts(
    gateway: Gateway, *, request_id: str = "", target: str = "", outcome: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """The last attempts at targets, over all processes, newest first; "" for any."""
    said = await gateway.siblings.ask("attempts", limit=limit, request_id=request_id, target=target, outcome=outcome)
    found = sorted((attempt for one in said.all for attempt in one), key=lambda attempt: -attempt["at"])
    return found[:limit]


async def providers(gateway: Gateway, runtime: Runtime) -> list[dict[str, Any]]:
    """Each provider of the configuration, with what the last attempts at it came to and how its targets are."""
    health = await targets(gateway)
    outcomes: dict[str, Counter[str]] = {}
    for attempt in await attempts(gateway, limit=_COUNTED_ATTEMPTS):
        outcomes.setdefault(attempt["provider"], Counter())[attempt["outcome"]] += 1
    return [_provider(runtime, name, health, outcomes.get(name, Counter())) for name in runtime.config.providers]


def _provider(runtime: Runtime, name: str, health: list[dict[str, Any]], outcomes: Counter[str]) -> dict[str, Any]:
    entry = runtime.config.providers[name]
    # Who left, and requests that were wrong themselves, say nothing of the provider.
    counted = outcomes["ok"] + outcomes["failed"]
    return {
        "object": "provider",
        "name": name,
        "plugin": entry.plugin,
        "switched_off": runtime.switched_off.get(name),
        "unset": list(entry.unset),
        "models": [model.id for model in runtime.config.models.values() if model.provider == name],
        "attempts": {kind: outcomes[kind] for kind in ("ok", "failed", "refused", "left")},
        "error_rate": round(outcomes["failed"] / counted, 4) if counted else None,
        "targets": [target for target in health if target["provider"] == name],
    }


def models(runtime: Runtime) -> list[dict[str, Any]]:
    """The catalogue with what only the operator sees: where each name leads to, in order."""
    config, catalog = runtime.config, runtime.catalog
    listed = []
    for entry in catalog.public_list():
        model = config.models.get(entry["id"])
        alias = config.aliases.get(entry["id"])
        chain = [] if alias is None else [
            {"model": one.model, "weight": one.weight, "when": one.when} for one in alias.entries
        ]  # fmt: skip
        listed.append(
            {
                **entry,
                "provider": None if model is None else model.provider,
                "upstream": None if model is None else model.upstream,
                "chain": chain,
                "demo": entry["id"] in runtime.demo,
            }
        )
    return listed


def plugins(runtime: Runtime) -> dict[str, Any]:
    """All plugins in their order, and who runs in each phase, in the order they run."""
    return {
        "object": "plugins",
        "plugins": list(runtime.plugins.names),
        "pipeline": list(runtime.config.pipeline),
        "phases": runtime.pipeline.describe(),
    }


def configuration(runtime: Runtime) -> dict[str, Any]:
    """The configuration that serves now, with defaults, without secrets."""
    config = runtime.config
    return {
        "object": "configuration",
        "file": config.file,
        "modified": config.modified,
        "warnings": [*config.warnings, *filter(None, [runtime.demo_note])],
        "values": shown(config),
    }


async def audit(admin: Admin, query: Mapping[str, str], *, limit: int) -> list[AuditEntry]:
    """Newest first; `before`, `actor`, `action`, `subject`. Raises CallerFault 400."""
    return await admin.stores.audit.entries(
        before=page_number(query, "before", 0, 2**53) if query.get("before") else 0,
        limit=limit,
        actor=query.get("actor", ""),
        action=query.get("action", ""),
        subject=query.get("subject", ""),
    )


# -- routes ------------------------------------------------------------------------------------------------------


def _listing(admin: Admin, rows: list[Any]) -> web.StreamResponse:
    return admin.context.json({"object": "list", "data": rows})


async def list_targets(admin: Admin) -> web.StreamResponse:
    """How each target does."""
    return _listing(admin, await targets(admin.context.gateway))


async def list_attempts(admin: Admin) -> web.StreamResponse:
    """The last attempts."""
    query = admin.context.request.query
    chosen = {name: query.get(name, "") for name in ("request_id", "target", "outcome")}
    limit = page_number(query, "limit", 100, MOST_ROWS)
    return _listing(admin, await attempts(admin.context.gateway, limit=limit, **chosen))


async def list_providers(admin: Admin) -> web.StreamResponse:
    """The providers."""
    return _listing(admin, await providers(admin.context.gateway, admin.context.runtime))


async def list_models(admin: Admin) -> web.StreamResponse:
    """The models and aliases."""
    return _listing(admin, models(admin.context.runtime))


async def get_plugins(admin: Admin) -> web.StreamResponse:
    """The plugins."""
    return admin.context.json(plugins(admin.context.runtime))


async def get_configuration(admin: Admin) -> web.StreamResponse:
    """The configuration."""
    return admin.context.json(configuration(admin.context.runtime))


async def list_audit(admin: Admin) -> web.StreamResponse:
    """The audit log."""
    query = admin.context.request.query
    rows = await audit(admin, query, limit=max(1, page_number(query, "limit", 100, MOST_ROWS)))
    return _listing(admin, [asdict(entry) for entry in rows])
