"""Getting in and out: the pages of signing in, signing up, and the links that work once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gateway.console.forms import beside
from gateway.console.page import Answer, Visit, page
from gateway.console.visitor import member_of
from gateway.errors import Fault
from gateway.http import web
from gateway.http.api.account import signing_in
from gateway.http.api.account.signing_in import Opened
from gateway.http.server.sessions import may_sign_in
from gateway.passwords import SHORTEST

HOME = "/account"


def next_page(given: str) -> str:
    """The page to go to, only if it is one of ours: never another site's."""
    ok = given.startswith("/") and not given.startswith(("//", "/\\")) and given.isprintable() and len(given) < 2000
    return given if ok and "\\" not in given else HOME


def _opened(visit: Visit, opened: Opened, to: str, say: str = "") -> web.Response:
    response = visit.redirect(to, say=say)
    opened.keep(response, visit.context)
    return response


def shown(visit: Visit, fault: Fault | None = None, **more: Any) -> Mapping[str, Any]:
    """What the templates of this module have in common."""
    return {
        "wrong": {} if fault is None else beside(visit, fault),
        "form": visit.form,
        "safe": may_sign_in(visit.context.request, visit.config),
        "sign_up": visit.config.console.sign_up,
        "service": visit.config.console.oidc.name if visit.config.console.oidc.issuer else "",
        "shortest": SHORTEST,
        **more,
    }


@page("GET", "/login", template="login.html")
async def login_form(visit: Visit) -> Answer:
    """Sign in; those who are go on."""
    to = next_page(visit.query.get("next", ""))
    if visit.visitor.signed_in:
        return visit.redirect(to)
    return shown(visit, next=to)


@page("POST", "/login", template="login.html")
async def login(visit: Visit) -> Answer:
    """By address and password."""
    form = visit.form
    to = next_page(form.get("next", ""))
    try:
        opened = await signing_in.sign_in(visit.context, form.get("email", ""), form.get("password", ""))
    except Fault as fault:
        return shown(visit, fault, next=to)
    return _opened(visit, opened, to)


@page("POST", "/logout")
async def logout(visit: Visit) -> Answer:
    """End this session."""
    response = visit.redirect("/login", say="You are signed out.")
    if visit.visitor.signed_in:
        await signing_in.sign_out(visit.context, member_of(visit.visitor), response)
    return response


@page("GET", "/signup", template="signup.html")
async def signup_form(visit: Visit) -> Answer:
    """Make an account, where anybody may."""
    if visit.visitor.signed_in:
        return visit.redirect(HOME)
    return shown(visit, link=None, action="/signup")


@page("POST", "/signup", template="signup.html")
async def signup(visit: Visit) -> Answer:
    """A new account."""
    return await _sign_up(visit, None, "/signup", "")


@page("GET", "/invite/{token}", template="signup.html")
async def invite_form(visit: Visit) -> Answer:
    """Make an account by an invitation. Raises Refusal 404."""
    token = visit.values["token"]
    link = await signing_in.find_link(visit.context, token, "invitation")
    return shown(visit, link=link, action=f"/invite/{quote(token, safe='')}")


@page("POST", "/invite/{token}", template="signup.html")
async def invite(visit: Visit) -> Answer:
    """A new account by an invitation. Raises Refusal 404."""
    token = visit.values["token"]
    link = await signing_in.find_link(visit.context, token, "invitation")
    return await _sign_up(visit, link, f"/invite/{quote(token, safe='')}", token)


async def _sign_up(visit: Visit, link: Any, action: str, token: str) -> Answer:
    form = visit.form
    email = (link.email if link is not None else "") or form.get("email", "")
    try:
        opened = await signing_in.sign_up(visit.context, email, form.get("password", ""), token)
    except Fault as fault:
        return shown(visit, fault, link=link, action=action)
    return _opened(visit, opened, HOME, "Your account is made.")


@page("GET", "/sign-in/{token}", template="sign_in_link.html")
async def link_form(visit: Visit) -> Answer:
    """A page with a button: programs that look into mail open links too, and must not use them up. Raises
    Refusal 404."""
    link = await signing_in.find_link(visit.context, visit.values["token"], "sign_in")
    account = await visit.context.gateway.stores.accounts.get_account(link.account_id)
    return shown(visit, name=account.name if account is not None else "")


@page("POST", "/sign-in/{token}", template="sign_in_link.html")
async def link_used(visit: Visit) -> Answer:
    """Sign in, once; who has no password yet is led to where one is set. Raises Refusal 404."""
    opened = await signing_in.sign_in_by_link(visit.context, visit.values["token"])
    login = await visit.context.gateway.stores.logins.login_of(opened.account.id)
    if login is None or not login.password_hash:
        return _opened(visit, opened, "/settings", "You are signed in. Set a password to sign in with from now on.")
    return _opened(visit, opened, HOME)


@page("GET", "/reset/{token}", template="reset.html")
async def reset_form(visit: Visit) -> Answer:
    """Set a new password by a link. Raises Refusal 404."""
    return await _reset_shown(visit)


@page("POST", "/reset/{token}", template="reset.html")
async def reset(visit: Visit) -> Answer:
    """A new password. Raises Refusal 404."""
    form = visit.form
    try:
        opened = await signing_in.reset_password(
            visit.context, visit.values["token"], form.get("password", ""), form.get("email", "")
        )
    except Fault as fault:
        return await _reset_shown(visit, fault)
    return _opened(visit, opened, HOME, "Your password is set; all other sessions have ended.")


async def _reset_shown(visit: Visit, fault: Fault | None = None) -> Answer:
    logins = visit.context.gateway.stores.logins
    link = await signing_in.find_link(visit.context, visit.values["token"], "password")
    login = await logins.login_of(link.account_id)
    return shown(visit, fault, email=link.email or (login.email if login is not None else ""))


PAGES = (
    login_form,
    login,
    logout,
    signup_form,
    signup,
    invite_form,
    invite,
    link_form,
    link_used,
    reset_form,
    reset,
)
