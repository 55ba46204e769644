"""/settings: password, address, and where one is signed in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gateway.console.forms import beside
from gateway.console.page import Answer, Visit, page
from gateway.console.visitor import member_of
from gateway.errors import Fault
from gateway.http.api.account import people, signing_in
from gateway.http.api.account.alerts import budgets_of
from gateway.http.server.sessions import CONNECT, clear_cookie
from gateway.passwords import SHORTEST

HERE = "/settings"


async def _shown(visit: Visit, wrong: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    who = member_of(visit.visitor)
    stores = visit.context.gateway.stores
    return {
        "account": who.account,
        "login": await stores.logins.login_of(who.account.id),
        "sessions": [people.session_view(one, who) for one in await stores.sessions.list_sessions(who.account.id)],
        "budgets": await budgets_of(stores, who.account.id, visit.config.alerts.thresholds, time.time()),
        "wrong": wrong or {},
        "form": visit.form,
        "shortest": SHORTEST,
        "service": visit.config.console.oidc.name if visit.config.console.oidc.issuer else "",
        "proof": who.proof(CONNECT),
    }


@page("GET", HERE, template="settings.html", needs="account")
async def settings(visit: Visit) -> Answer:
    """What belongs to the person rather than to a key."""
    return await _shown(visit)


@page("POST", HERE, template="settings.html", needs="account")
async def change(visit: Visit) -> Answer:
    """Another password or address; a new password ends all other sessions."""
    form = visit.form
    email, password = form.get("email", "").strip(), form.get("password", "")
    who = member_of(visit.visitor)
    before = await visit.context.gateway.stores.logins.login_of(who.account.id)
    try:
        await signing_in.change_login(
            visit.context,
            who,
            current=form.get("current_password", ""),
            password=password,
            email="" if before is not None and email == before.email else email,
        )
    except Fault as fault:
        return await _shown(visit, beside(visit, fault))
    said = "Your password is set; all other sessions have ended." if password else "Your e-mail address is changed."
    return visit.redirect(HERE, say=said)


@page("POST", HERE + "/sessions/{id}/end", needs="account")
async def end(visit: Visit) -> Answer:
    """Sign out somewhere else, or here. Raises CallerFault 404."""
    who = member_of(visit.visitor)
    await people.end_session(visit.context.gateway.stores, who, visit.values["id"])
    if visit.values["id"] != who.session.id:
        return visit.redirect(HERE, say="That session has ended.")
    response = visit.redirect("/login", say="You are signed out.")
    clear_cookie(response)
    return response


@page("POST", HERE + "/sessions/end", needs="account")
async def end_all(visit: Visit) -> Answer:
    """Sign out everywhere, here too."""
    await people.end_all(visit.context, member_of(visit.visitor))
    response = visit.redirect("/login", say="You are signed out everywhere.")
    clear_cookie(response)
    return response


PAGES = (settings, change, end, end_all)
