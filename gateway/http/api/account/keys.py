"""The keys of the account that is signed in: what pages and JSON routes both do. No key makes or changes keys."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from gateway.budgets import period_of
from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api import admin_forms as forms
from gateway.http.api.account.access import find_member
from gateway.http.api.account.signing_in import note
from gateway.http.api.form import read_form, throttle
from gateway.http.server.request_context import RequestContext
from gateway.http.server.sessions import SignedIn
from gateway.stores import Key, KeySettings, Stores

_CHANGES = 30
_WINDOW = 60.0


def state(key: Key, now: float) -> str:
    """`active`, `expired` or `revoked`."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


async def view(stores: Stores, key: Key) -> dict[str, Any]:
    """A key as its owner sees it, with what this month's calls cost."""
    now = time.time()
    charged, held = await stores.keys.month_use(key.id, period_of(now))
    return {"object": "key", **asdict(key), "state": state(key, now), "month_charged": charged, "month_held": held}


async def views(stores: Stores, account_id: str, *, ended: bool = True) -> list[dict[str, Any]]:
    """All keys of an account, newest first. ended: those too that are revoked or expired."""
    keys: Sequence[Key] = await stores.keys.list_keys(account_id)
    now = time.time()
    return [await view(stores, key) for key in reversed(keys) if ended or state(key, now) == "active"]


async def create(context: RequestContext, who: SignedIn, settings: KeySettings) -> tuple[Key, str]:
    """A new key and its plain text. Raises Refusal 400, 429, CallerFault 400 that names the setting."""
    await _count(context, who)
    key, plain = await context.gateway.stores.keys.create_key(who.account.id, settings)
    await note(context, who.account.id, "key.create", key.id, **_told(settings))
    return key, plain


async def find(stores: Stores, who: SignedIn, key_id: str) -> Key:
    """One of the account's own keys. Raises CallerFault 404."""
    return _found(await stores.keys.get_key(key_id, account_id=who.account.id))


async def update(context: RequestContext, who: SignedIn, key_id: str, changes: Mapping[str, Any]) -> Key:
    """Set what `changes` names; None takes a limit away. Raises CallerFault 404, 400, Refusal 429."""
    await _count(context, who)
    stores = context.gateway.stores
    key = await find(stores, who, key_id)
    before = {field.name: getattr(key, field.name) for field in fields(KeySettings)}
    settings = KeySettings(**{**before, **changes})
    changed = _found(await stores.keys.update_key(key_id, settings, account_id=who.account.id))
    await note(context, who.account.id, "key.update", key_id, **_told(settings))
    return changed


async def rotate(context: RequestContext, who: SignedIn, key_id: str, grace: float) -> tuple[Key, str]:
    """A new secret for a key. grace: seconds that the old one still works. Raises CallerFault 404, 400, Refusal 429."""
    await _count(context, who)
    rotated = await context.gateway.stores.keys.rotate_key(key_id, grace=grace, account_id=who.account.id)
    if rotated is None:
        raise _unknown()
    await note(context, who.account.id, "key.rotate", key_id, grace=grace)
    return rotated


async def revoke(context: RequestContext, who: SignedIn, key_id: str) -> Key:
    """For good. Raises CallerFault 404, Refusal 429."""
    await _count(context, who)
    key = _found(await context.gateway.stores.keys.revoke_key(key_id, account_id=who.account.id))
    await note(context, who.account.id, "key.revoke", key_id)
    return key


async def get_keys(context: RequestContext) -> web.StreamResponse:
    """All of the account's."""
    who = await find_member(context)
    return context.json({"object": "list", "data": await views(context.gateway.stores, who.account.id)})


async def post_key(context: RequestContext) -> web.StreamResponse:
    """A new one, whose text is in this answer and nowhere else."""
    who = await find_member(context)
    settings = forms.key_settings(await read_form(context, forms.OWN_KEY))
    key, plain = await create(context, who, settings)
    return context.json({"key": plain, **await view(context.gateway.stores, key)}, status=201)


async def get_key(context: RequestContext) -> web.StreamResponse:
    """One."""
    who = await find_member(context)
    stores = context.gateway.stores
    return context.json(await view(stores, await find(stores, who, context.values["id"])))


async def patch_key(context: RequestContext) -> web.StreamResponse:
    """What is not named stays as it is; null takes a limit away."""
    who = await find_member(context)
    changes = forms.tuples(await read_form(context, forms.OWN_KEY))
    return context.json(await view(context.gateway.stores, await update(context, who, context.values["id"], changes)))


async def post_rotation(context: RequestContext) -> web.StreamResponse:
    """A new secret."""
    who = await find_member(context)
    body = await read_form(context, forms.ROTATION)
    key, plain = await rotate(context, who, context.values["id"], body.get("grace", 0))
    return context.json({"key": plain, **await view(context.gateway.stores, key)})


async def delete_key(context: RequestContext) -> web.StreamResponse:
    """Revoked keys stay in the list."""
    who = await find_member(context)
    return context.json(await view(context.gateway.stores, await revoke(context, who, context.values["id"])))


async def _count(context: RequestContext, who: SignedIn) -> None:
    """Each change is an entry of the audit log, which is never shortened."""
    await throttle(context, [(f"keys:{who.account.id}", _CHANGES)], _WINDOW)


def _told(settings: KeySettings) -> dict[str, Any]:
    return {name: value for name, value in asdict(settings).items() if value not in (None, "")}


def _found(key: Key | None) -> Key:
    if key is None:
        raise _unknown()
    return key


def _unknown() -> CallerFault:
    return CallerFault("There is no such key.", status=404, code="key_not_found")
