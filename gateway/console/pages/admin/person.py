"""/admin/accounts/{account}: one account, and every act on it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from gateway.console.forms import beside, percents
from gateway.console.page import Answer, Visit, page
from gateway.console.pages.admin.common import admin_of, given, numbers
from gateway.errors import Fault
from gateway.http.api.account import keys as own_keys
from gateway.http.api.admin import erasing, keys, people
from gateway.http.api.usage import period, summary_of

ONE = "/admin/accounts/{account}"
_ENTRIES = 20


async def _shown(visit: Visit, wrong: Mapping[str, str] | None = None, **more: Any) -> Mapping[str, Any]:
    admin = admin_of(visit)
    account = await people.account_of(admin, visit.values["account"])
    stores = admin.stores
    first, last = period({"days": "30"}, int(time.time()))
    return {
        "account": account,
        "own": account.id == admin.actor,
        "login": await stores.logins.login_of(account.id),
        "sessions": await stores.sessions.list_sessions(account.id),
        "links": [link for link in await stores.logins.list_links() if link.account_id == account.id],
        "keys": await own_keys.views(stores, account.id, ended=False),
        "month": await summary_of(stores, account.id, first, last, None),
        "entries": await stores.ledger.entries(account.id, limit=_ENTRIES, newest_first=True),
        "booking": secrets.token_hex(12),
        "values": visit.form,
        "usual": visit.config.alerts.thresholds,
        "wrong": wrong or {},
        "opened": "",
        "url": "",
        "plain": "",
        **more,
    }


@page("GET", ONE, template="admin/account.html", needs="admin")
async def show(visit: Visit) -> Answer:
    """One account. Raises CallerFault 404."""
    return await _shown(visit)


def _there(visit: Visit) -> str:
    return f"/admin/accounts/{visit.values['account']}"


@page("POST", ONE, template="admin/account.html", needs="admin")
async def edit(visit: Visit) -> Answer:
    """Name, role, rate and thresholds of alerts. Raises CallerFault 404."""
    try:
        rate = numbers(visit, "requests_per_minute").get("requests_per_minute")
        body = {**given(visit, "name", "role"), "requests_per_minute": rate}
        if "alert_thresholds" in visit.form:
            body["alert_thresholds"] = percents(visit.form, "alert_thresholds")
        changed = await people.update(admin_of(visit), visit.values["account"], body)
    except Fault as fault:
        return await _shown(visit, beside(visit, fault), opened="edit")
    return visit.redirect(f"/admin/accounts/{changed.id}", say="The account is changed.")


@page("POST", ONE + "/state", needs="admin")
async def set_state(visit: Visit) -> Answer:
    """Suspend an account, or let it in again. Raises CallerFault 404."""
    disabled = visit.form.get("disabled") == "true"
    account = await people.update(admin_of(visit), visit.values["account"], {"disabled": disabled})
    said = "is suspended: its keys and sessions are refused" if disabled else "may be used again"
    return visit.redirect(_there(visit), say=f"The account {account.name} {said}.")


@page("POST", ONE + "/credits", template="admin/account.html", needs="admin")
async def book(visit: Visit) -> Answer:
    """Book credits. Raises CallerFault 404."""
    try:
        body = {**given(visit, "kind", "note", "idempotency_key"), **numbers(visit, "credits")}
        account, balance = await people.add_credits(admin_of(visit), visit.values["account"], body)
    except Fault as fault:
        return await _shown(visit, beside(visit, fault), opened="credits")
    return visit.redirect(_there(visit), say=f"The balance of {account.name} is {balance:,} credits now.")


@page("POST", ONE + "/links", template="admin/account.html", needs="admin")
async def make_link(visit: Visit) -> Answer:
    """A link that signs in, or sets a password; its address is in this answer only. Raises CallerFault 404."""
    try:
        body = {**given(visit, "purpose", "email"), **numbers(visit, "hours")}
        made, url = await people.make_link(admin_of(visit), visit.values["account"], body)
    except Fault as fault:
        return await _shown(visit, beside(visit, fault), opened="links")
    return await _shown(visit, url=url, made=made)


@page("POST", ONE + "/sign-out", needs="admin")
async def sign_out(visit: Visit) -> Answer:
    """End every session. Raises CallerFault 404."""
    ended = await people.sign_out(admin_of(visit), visit.values["account"])
    return visit.redirect(_there(visit), say=f"{ended} session{'' if ended == 1 else 's'} ended.")


@page("POST", ONE + "/keys", template="admin/account.html", needs="admin")
async def create_key(visit: Visit) -> Answer:
    """A key, whose text is in this answer only. Raises CallerFault 404."""
    try:
        body = {**given(visit, "name"), **numbers(visit, "monthly_limit")}
        key, plain = await keys.create(admin_of(visit), visit.values["account"], body)
    except Fault as fault:
        return await _shown(visit, beside(visit, fault), opened="keys")
    return await _shown(visit, plain=plain, key=key)


@page("POST", ONE + "/keys/{key}/alerts", template="admin/account.html", needs="admin")
async def set_alerts(visit: Visit) -> Answer:
    """The thresholds of one key's alerts. Raises CallerFault 404."""
    try:
        body = {"alert_thresholds": percents(visit.form, "alert_thresholds")}
        key = await keys.update(admin_of(visit), visit.values["key"], body)
    except Fault as fault:
        return await _shown(visit, {"": next(iter(beside(visit, fault).values()))})
    return visit.redirect(_there(visit), say=f"The alerts of the key {key.name or key.label} are changed.")


@page("POST", ONE + "/erase", template="admin/account.html", needs="admin")
async def erase(visit: Visit) -> Answer:
    """Erase what is personal. Raises CallerFault 404."""
    try:
        erased = await erasing.erase(admin_of(visit), visit.values["account"], given(visit, "name"))
    except Fault as fault:
        return await _shown(visit, {"erase": next(iter(beside(visit, fault).values()))}, opened="erase")
    say = "What was personal of this account is erased."
    if erased.files.left:
        say += f" {len(erased.files.left)} files or batches are left at providers: the audit log names them."
    return visit.redirect(f"/admin/accounts/{erased.account.id}", say=say)


PAGES = (show, edit, set_state, book, make_link, sign_out, create_key, set_alerts, erase)
