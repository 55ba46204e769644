"""/admin/accounts and /admin/keys: all accounts, invitations, all keys."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gateway.console.forms import beside
from gateway.console.page import Answer, Visit, page
from gateway.console.pages.admin.common import PAGE, admin_of, given, names_of, numbers
from gateway.errors import Fault
from gateway.http.api.account.keys import state
from gateway.http.api.admin import keys, people

LIST = "/admin/accounts"


async def _listed(visit: Visit, wrong: Mapping[str, str] | None = None, **more: Any) -> Mapping[str, Any]:
    admin = admin_of(visit)
    text = visit.query.get("find", "").strip()
    after = visit.query.get("after", "")
    rows = (
        await people.find(admin, text)
        if text
        else await admin.stores.accounts.list_accounts(after=after, limit=PAGE + 1)
    )
    return {
        "accounts": rows[:PAGE],
        "older": f"{LIST}?after={rows[PAGE - 1].id}" if len(rows) > PAGE else "",
        "newer": LIST if after else "",
        "text": text,
        "links": await admin.stores.logins.list_links(),
        "values": visit.form,
        "wrong": wrong or {},
        "grant": visit.config.credits.signup_grant,
        "url": "",
        **more,
    }


@page("GET", LIST, template="admin/accounts.html", needs="admin")
async def list_accounts(visit: Visit) -> Answer:
    """Accounts in order of creation, or the one that is looked for."""
    return await _listed(visit)


@page("POST", LIST, template="admin/accounts.html", needs="admin")
async def create(visit: Visit) -> Answer:
    """A new account."""
    try:
        body = {**given(visit, "name", "role"), **numbers(visit, "credits")}
        account = await people.create(admin_of(visit), body)
    except Fault as fault:
        return await _listed(visit, beside(visit, fault), opened="create")
    return visit.redirect(f"{LIST}/{account.id}", say=f"The account {account.name} is created.")


@page("POST", "/admin/invitations", template="admin/accounts.html", needs="admin")
async def invite(visit: Visit) -> Answer:
    """An invitation, whose address is in this answer only."""
    try:
        body = {**given(visit, "email", "role"), **numbers(visit, "credits", "days")}
        made, url = await people.invite(admin_of(visit), body)
    except Fault as fault:
        return await _listed(visit, beside(visit, fault), opened="invite")
    return await _listed(visit, url=url, made=made)


@page("POST", "/admin/links/{link}/revoke", needs="admin")
async def revoke_link(visit: Visit) -> Answer:
    """Make a link worthless. Raises CallerFault 404."""
    await people.revoke_link(admin_of(visit), visit.values["link"])
    return visit.redirect(LIST, say="The link is revoked.")


@page("GET", "/admin/keys", template="admin/keys.html", needs="admin")
async def list_keys(visit: Visit) -> Answer:
    """Keys of all accounts, newest first, those that work unless `all` asks for the others too."""
    admin, now = admin_of(visit), time.time()
    everything = (await admin.stores.keys.list_keys())[::-1]
    text = visit.query.get("find", "").strip().lower()
    ended = visit.query.get("all") == "true"
    rows = [
        key
        for key in everything
        if (ended or state(key, now) == "active")
        and text in f"{key.name} {key.label} {key.id} {key.account_id}".lower()
    ]
    try:
        number = max(1, int(visit.query.get("page", "1")))
    except ValueError:
        number = 1
    shown = rows[(number - 1) * PAGE : number * PAGE]
    return {
        "keys": [{"key": key, "state": state(key, now)} for key in shown],
        "total": len(rows),
        "names": await names_of(admin, (key.account_id for key in shown)),
        "text": text,
        "ended": ended,
        "number": number,
        "more": len(rows) > number * PAGE,
    }


@page("POST", "/admin/keys/{key}/revoke", needs="admin")
async def revoke_key(visit: Visit) -> Answer:
    """End a key. Raises CallerFault 404."""
    key = await keys.revoke(admin_of(visit), visit.values["key"])
    return visit.redirect(f"{LIST}/{key.account_id}", say=f"The key {key.name or key.label} is revoked.")


PAGES = (list_accounts, create, invite, revoke_link, list_keys, revoke_key)
