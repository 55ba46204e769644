"""The JSON routes of signing in and out, of passwords and sessions, and of who one is."""

from __future__ import annotations

from typing import Any

from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api.account import signing_in
from gateway.http.api.account.access import find_account, find_member
from gateway.http.api.account.signing_in import Opened, note
from gateway.http.api.fields import Form
from gateway.http.api.form import read_form
from gateway.http.server.request_context import RequestContext
from gateway.http.server.sessions import SignedIn, clear_cookie
from gateway.stores import Account, Login, Session, Stores
from gateway.wire.validators import filled_string, string

_EMAIL = filled_string.about("An e-mail address.")
_PASSWORD = filled_string.about("10 to 200 characters.")
SIGN_IN = Form(
    {"email": _EMAIL, "password": filled_string.about("The password."), "link": filled_string.about(
        "Instead of both: the token of a link that signs in once.")}
)  # fmt: skip
SIGN_UP = Form(
    {"email": _EMAIL, "password": _PASSWORD, "invitation": filled_string.about("The token of an invitation.")},
    required=("email", "password"),
)
RESET = Form(
    {
        "link": filled_string.about("The token of a link for a new password."),
        "password": _PASSWORD,
        "email": filled_string.about("The address to sign in with, for an account that has none yet."),
    },
    required=("link", "password"),
)
CHANGE = Form(
    {
        "current_password": string.about("The present one, where there is one."),
        "password": _PASSWORD,
        "email": _EMAIL,
    }
)


async def post_sign_in(context: RequestContext) -> web.StreamResponse:
    """By address and password, or by a link."""
    body = await read_form(context, SIGN_IN)
    if "link" in body:
        return _opened(context, await signing_in.sign_in_by_link(context, body["link"]))
    for name in ("email", "password"):
        if name not in body:
            raise CallerFault(f"{name}: is missing.", param=name, code="missing_required_parameter")
    return _opened(context, await signing_in.sign_in(context, body["email"], body["password"]))


async def post_sign_up(context: RequestContext) -> web.StreamResponse:
    """A new account, and a session."""
    body = await read_form(context, SIGN_UP)
    made = await signing_in.sign_up(context, body["email"], body["password"], body.get("invitation", ""))
    return _opened(context, made)


async def post_reset(context: RequestContext) -> web.StreamResponse:
    """A new password by a link, and a session."""
    body = await read_form(context, RESET)
    return _opened(
        context, await signing_in.reset_password(context, body["link"], body["password"], body.get("email", ""))
    )


def _opened(context: RequestContext, opened: Opened) -> web.StreamResponse:
    who = SignedIn(opened.session, opened.account, opened.token)
    response = context.json(
        {
            "object": "session",
            "id": opened.session.id,
            "account_id": opened.account.id,
            "csrf_token": who.csrf,
            "created_at": opened.session.created_at,
            "expires_at": opened.session.expires_at,
        }
    )
    opened.keep(response, context)
    return response


async def post_sign_out(context: RequestContext) -> web.StreamResponse:
    """End this session."""
    who = await find_member(context)
    response = context.json({"object": "session", "ended": 1})
    await signing_in.sign_out(context, who, response)
    return response


async def get_me(context: RequestContext) -> web.StreamResponse:
    """Who one is."""
    account = await find_account(context)
    return context.json(me(account, await context.gateway.stores.logins.login_of(account.id), context.signed_in))


def me(account: Account, login: Login | None, who: SignedIn | None) -> dict[str, Any]:
    """An account as its owner sees it."""
    return {
        "object": "account",
        "id": account.id,
        "name": account.name,
        "email": login.email if login is not None else None,
        "has_password": login is not None and login.password_hash != "",
        "role": account.role,
        "created_at": account.created_at,
        "requests_per_minute": account.requests_per_minute,
        "session_id": who.session.id if who is not None else None,
        "csrf_token": who.csrf if who is not None else None,
    }


async def get_balance(context: RequestContext) -> web.StreamResponse:
    """What is left."""
    account = await find_account(context)
    return context.json(
        {
            "object": "balance",
            "balance": account.balance,
            "held": account.held,
            "available": account.balance - account.held,
        }
    )


async def post_login(context: RequestContext) -> web.StreamResponse:
    """Another password or address."""
    who = await find_member(context)
    body = await read_form(context, CHANGE)
    login = await signing_in.change_login(
        context,
        who,
        current=body.get("current_password", ""),
        password=body.get("password", ""),
        email=body.get("email", ""),
    )
    return context.json(me(who.account, login, who))


async def get_sessions(context: RequestContext) -> web.StreamResponse:
    """Where this account is signed in."""
    who = await find_member(context)
    sessions = await context.gateway.stores.sessions.list_sessions(who.account.id)
    return context.json({"object": "list", "data": [session_view(session, who) for session in sessions]})


def session_view(session: Session, who: SignedIn) -> dict[str, Any]:
    """A session as its owner sees it."""
    return {
        "object": "session",
        "id": session.id,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "last_seen_at": session.last_seen_at,
        "remote": session.remote,
        "agent": session.agent,
        "current": session.id == who.session.id,
    }


async def delete_session(context: RequestContext) -> web.StreamResponse:
    """Sign out somewhere else, or here."""
    who = await find_member(context)
    await end_session(context.gateway.stores, who, context.values["id"])
    response = context.json({"object": "session", "ended": 1})
    if context.values["id"] == who.session.id:
        clear_cookie(response)
    return response


async def end_session(stores: Stores, who: SignedIn, session_id: str) -> None:
    """Raises CallerFault 404 for one that is not this account's."""
    if not await stores.sessions.end_session(session_id, account_id=who.account.id):
        raise CallerFault("There is no such session.", status=404, code="session_not_found")


async def delete_sessions(context: RequestContext) -> web.StreamResponse:
    """Sign out everywhere, here too."""
    who = await find_member(context)
    response = context.json({"object": "session", "ended": await end_all(context, who)})
    clear_cookie(response)
    return response


async def end_all(context: RequestContext, who: SignedIn) -> int:
    """End all sessions of an account; returns how many."""
    ended = await context.gateway.stores.sessions.end_sessions(who.account.id)
    await note(context, who.account.id, "sessions.end", who.account.id, ended=ended)
    return ended
