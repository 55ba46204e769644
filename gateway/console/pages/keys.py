"""/settings/api-keys: generate, edit, rotate and revoke keys."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.console.forms import LIFETIMES, beside, key_form, key_settings
from gateway.console.page import Answer, Visit, page
from gateway.console.snippets import first_request
from gateway.console.visitor import member_of
from gateway.errors import Fault
from gateway.http.api.account import keys
from gateway.stores import Key

LIST = "/settings/api-keys"
GRACES = (("0", "at once"), ("3600", "in an hour"), ("86400", "in a day"), ("604800", "in a week"))
"""When a rotated key's old secret ends: seconds and words."""


async def _listed(visit: Visit, wrong: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    who = member_of(visit.visitor)
    found = await keys.views(visit.context.gateway.stores, who.account.id)
    wrong = wrong or {}
    return {
        "keys": [key for key in found if key["state"] == "active"],
        "ended": [key for key in found if key["state"] != "active"],
        "most": visit.config.keys.per_account,
        "values": key_form(None, visit.form),
        "wrong": wrong,
        "lifetimes": LIFETIMES,
        "models": _models(visit),
    }


def _models(visit: Visit) -> list[str]:
    return [str(model["id"]) for model in visit.runtime.catalog.public_list()]


@page("GET", LIST, "/api", template="keys.html", needs="account")
async def list_keys(visit: Visit) -> Answer:
    """All keys of the account."""
    return await _listed(visit)


@page("POST", LIST, template="keys.html", needs="account")
async def generate(visit: Visit) -> Answer:
    """A new key, shown in this answer only."""
    who = member_of(visit.visitor)
    try:
        settings = key_settings(visit.form, time.time())
        key, plain = await keys.create(visit.context, who, settings)
    except Fault as fault:
        return await _listed(visit, beside(visit, fault))
    return await _secret(visit, key, plain, made=True)


async def _secret(visit: Visit, key: Key, plain: str, *, made: bool) -> Answer:
    """The page with a key in plain text: an answer that nobody keeps, and no address leads there again."""
    allowed = next((name for name in key.models or () if "*" not in name), "")
    model = allowed or visit.runtime.catalog.usable() or "muh-chat"
    return {
        "key": key,
        "plain": plain,
        "made": made,
        "snippets": await first_request(visit, model, key=plain),
    }


@page("GET", LIST + "/{id}", template="key.html", needs="account")
async def edit_form(visit: Visit) -> Answer:
    """One key's settings. Raises CallerFault 404."""
    return await _edited(visit)


async def _edited(visit: Visit, wrong: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    stores = visit.context.gateway.stores
    key = await keys.find(stores, member_of(visit.visitor), visit.values["id"])
    return {
        "key": await keys.view(stores, key),
        "values": key_form(key, visit.form),
        "wrong": wrong or {},
        "lifetimes": LIFETIMES,
        "graces": GRACES,
        "models": _models(visit),
    }


@page("POST", LIST + "/{id}", template="key.html", needs="account")
async def edit(visit: Visit) -> Answer:
    """Set all settings. Raises CallerFault 404."""
    who = member_of(visit.visitor)
    key = await keys.find(visit.context.gateway.stores, who, visit.values["id"])
    try:
        settings = key_settings(visit.form, time.time(), key)
        changed = await keys.update(visit.context, who, key.id, asdict(settings))
    except Fault as fault:
        return await _edited(visit, beside(visit, fault))
    return visit.redirect(LIST, say=f"The key {changed.name or changed.label} is changed.")


@page("POST", LIST + "/{id}/revoke", template="key.html", needs="account")
async def revoke(visit: Visit) -> Answer:
    """End a key. Raises CallerFault 404."""
    key = await keys.revoke(visit.context, member_of(visit.visitor), visit.values["id"])
    return visit.redirect(LIST, say=f"The key {key.name or key.label} is revoked.")


@page("POST", LIST + "/{id}/rotate", template="key_secret.html", needs="account")
async def rotate(visit: Visit) -> Answer:
    """A new secret, shown in this answer only. Raises CallerFault 404."""
    grace = visit.form.get("grace", "0")
    seconds = float(grace) if grace in dict(GRACES) else 0.0
    key, plain = await keys.rotate(visit.context, member_of(visit.visitor), visit.values["id"], seconds)
    return await _secret(visit, key, plain, made=False)


PAGES = (list_keys, generate, edit_form, edit, revoke, rotate)
