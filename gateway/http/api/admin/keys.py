"""Keys of all accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.http import web
from gateway.http.api import admin_forms as forms
from gateway.http.api.admin.access import Admin, found
from gateway.http.api.admin.people import account_of
from gateway.stores import Key


async def key_of(admin: Admin, key_id: str) -> Key:
    """Raises CallerFault 404."""
    return found(await admin.stores.keys.get_key(key_id), "key")


async def create(admin: Admin, id_or_name: str, body: Mapping[str, Any]) -> tuple[Key, str]:
    """A new key of an account and its plain text. Raises CallerFault 400, 404, Refusal 400."""
    settings = forms.key_settings(forms.KEY.read(body))
    account = await account_of(admin, id_or_name)
    key, plain = await admin.stores.keys.create_key(account.id, settings)
    await admin.record("key.create", key.id, account=account.id, **asdict(settings))
    return key, plain


async def update(admin: Admin, key_id: str, body: Mapping[str, Any]) -> Key:
    """Set what the body names; null takes a limit away. Raises CallerFault 400, 404."""
    asked = forms.KEY.read(body)
    key = await key_of(admin, key_id)
    settings = forms.key_settings({**{name: getattr(key, name) for name in forms.KEY.names}, **asked})
    changed = found(await admin.stores.keys.update_key(key.id, settings), "key")
    await admin.record("key.update", key.id, account=key.account_id, **asked)
    return changed


async def revoke(admin: Admin, key_id: str) -> Key:
    """For good. Raises CallerFault 404."""
    key = found(await admin.stores.keys.revoke_key(key_id), "key")
    await admin.record("key.revoke", key.id, account=key.account_id)
    return key


# -- routes ------------------------------------------------------------------------------------------------------


async def list_all(admin: Admin) -> web.StreamResponse:
    """Of all accounts, in order of creation."""
    return admin.context.json({"object": "list", "data": [asdict(key) for key in await admin.stores.keys.list_keys()]})


async def list_keys(admin: Admin) -> web.StreamResponse:
    """An account's."""
    account = await account_of(admin, admin.context.values["account"])
    keys = await admin.stores.keys.list_keys(account.id)
    return admin.context.json({"object": "list", "data": [asdict(key) for key in keys]})


async def post_key(admin: Admin) -> web.StreamResponse:
    """A new one, whose text is in this answer and nowhere else."""
    key, plain = await create(admin, admin.context.values["account"], await admin.context.read_small())
    return admin.context.json({"key": plain, **asdict(key)}, status=201)


async def get_key(admin: Admin) -> web.StreamResponse:
    """One."""
    return admin.context.json(asdict(await key_of(admin, admin.context.values["key"])))


async def patch_key(admin: Admin) -> web.StreamResponse:
    """What is not named stays as it is."""
    changed = await update(admin, admin.context.values["key"], await admin.context.read_small())
    return admin.context.json(asdict(changed))


async def delete_key(admin: Admin) -> web.StreamResponse:
    """Revoked keys stay in the list."""
    return admin.context.json(asdict(await revoke(admin, admin.context.values["key"])))


async def post_rotation(admin: Admin) -> web.StreamResponse:
    """A new secret for a key."""
    grace = forms.ROTATION.read(await admin.context.read_small()).get("grace", 0)
    key, plain = found(await admin.stores.keys.rotate_key(admin.context.values["key"], grace=grace), "key")
    await admin.record("key.rotate", key.id, account=key.account_id, grace=grace)
    return admin.context.json({"key": plain, **asdict(key)})
