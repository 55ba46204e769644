"""An account's end: all that is kept of it as a file, then the erasing of what is personal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from gateway.erasing import Erasure, erase_account
from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api import admin_forms as forms
from gateway.http.api.account.requests import view
from gateway.http.api.admin.access import Admin, found
from gateway.http.api.admin.people import account_of
from gateway.stores import Account, Stores

_PAGE = 1000


async def erase(admin: Admin, id_or_name: str, body: Mapping[str, Any]) -> Erasure:
    """Erase what is personal of the account that the body names once more. Raises CallerFault 400, 404."""
    asked = forms.ERASURE.read(body)
    account = await account_of(admin, id_or_name)
    if asked["name"] != account.name:
        raise CallerFault(f"name: does not match; write {account.name!r} to erase this account.", param="name")
    if account.id == admin.actor:
        raise CallerFault("This is your own account; let another administrator erase it.", code="own_account")
    runtime = admin.context.runtime
    erased = found(await erase_account(admin.stores, runtime.files, runtime.batches, account.id), "account")
    await admin.record("account.erase", account.id, **erased.shown()["at_providers"])
    return erased


async def kept(stores: Stores, account: Account) -> AsyncIterator[dict[str, Any]]:
    """All that is kept of an account but the content of its stored responses: one object after the other, each with its
    `type`."""
    yield {"type": "account", **asdict(account)}
    login = await stores.logins.login_of(account.id)
    if login is not None:
        yield {"type": "login", "email": login.email, "changed_at": login.changed_at}
    for session in await stores.sessions.list_sessions(account.id):
        yield {"type": "session", **asdict(session)}
    for key in await stores.keys.list_keys(account.id):
        yield {"type": "key", **asdict(key)}
    before = ""
    while orders := await stores.topups.list_topups(account.id, before=before, limit=_PAGE):
        for order in orders:
            yield {"type": "topup", **asdict(order), "status": order.status}
        before = orders[-1].id
    async for entry in stores.ledger.export(account.id):
        yield {"type": "entry", **asdict(entry)}
    last = 0
    while rows := await stores.usage.recent(account.id, before=last, limit=_PAGE):
        for row in rows:
            yield {"type": "request", **view(row)}
        last = rows[-1].seq


# -- routes ------------------------------------------------------------------------------------------------------


async def get_export(admin: Admin) -> web.StreamResponse:
    """The file, a JSON object per line, as it is read."""
    account = await account_of(admin, admin.context.values["account"])
    await admin.record("account.export", account.id)
    response = web.StreamResponse(
        headers={
            **admin.context.headers(),
            "content-type": "application/x-ndjson",
            "content-disposition": f'attachment; filename="{account.id}.ndjson"',
            "cache-control": "no-store",
        }
    )
    await response.prepare(admin.context.request)
    lines: list[bytes] = []
    async for value in kept(admin.stores, account):
        lines.append(orjson.dumps(value))
        if len(lines) >= _PAGE:
            await response.write(b"\n".join(lines) + b"\n")
            lines.clear()
    await response.write(b"".join(line + b"\n" for line in lines))
    await response.write_eof()
    return response


async def delete_account(admin: Admin) -> web.StreamResponse:
    """Erase it."""
    erased = await erase(admin, admin.context.values["account"], await admin.context.read_small())
    return admin.context.json(erased.shown())
