"""Accounts and how people get into them: acts that JSON routes and pages share, then the routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.http import web
from gateway.http.api import admin_forms as forms
from gateway.http.api.admin.access import Admin, found
from gateway.http.api.fields import page_number
from gateway.http.api.links import link_url
from gateway.http.api.usage import usage_of
from gateway.http.server.request_reading import own_address
from gateway.stores import Account, AccountChange, Link, LinkPurpose, NewLink

MOST_ROWS = 1000
_DAY, _HOUR = 86_400, 3600
INVITATION_DAYS = 7
LINK_HOURS = 24


async def account_of(admin: Admin, id_or_name: str) -> Account:
    """Raises CallerFault 404."""
    return found(await admin.stores.accounts.find_account(id_or_name), "account")


async def find(admin: Admin, text: str) -> list[Account]:
    """The account with this id or name, and the one with this e-mail address, as far as there are such."""
    login = await admin.stores.logins.find_login(text)
    named = await admin.stores.accounts.find_account(text)
    owner = None if login is None else await admin.stores.accounts.get_account(login.account_id)
    return list({account.id: account for account in (named, owner) if account is not None}.values())


async def create(admin: Admin, body: Mapping[str, Any]) -> Account:
    """A new account. Raises CallerFault 400 that names a member, Refusal 409."""
    asked = forms.NEW_ACCOUNT.read(body)
    grant = asked.get("credits", admin.context.runtime.config.credits.signup_grant)
    account = await admin.stores.accounts.create_account(asked["name"], role=asked.get("role", "user"), grant=grant)
    await admin.record("account.create", account.id, name=account.name, role=account.role, credits=grant)
    return account


async def update(admin: Admin, id_or_name: str, body: Mapping[str, Any]) -> Account:
    """Set what the body names. Raises CallerFault 400, 404, Refusal 409."""
    asked = forms.ACCOUNT.read(body)
    account = await account_of(admin, id_or_name)
    changed = await admin.stores.accounts.update_account(
        account.id, AccountChange(change=tuple(asked), **forms.tuples(asked))
    )
    await admin.record("account.update", account.id, **asked)
    return found(changed, "account")


async def add_credits(admin: Admin, id_or_name: str, body: Mapping[str, Any]) -> tuple[Account, int]:
    """Book credits; returns the account and its balance afterwards. Raises CallerFault 400, 404, Refusal 409."""
    asked = forms.CREDIT.read(body)
    account = await account_of(admin, id_or_name)
    balance = await admin.stores.ledger.grant(
        account.id,
        asked["credits"],
        kind=asked.get("kind", "grant"),
        key=asked["idempotency_key"],
        note=asked.get("note", ""),
    )
    await admin.record("account.credits", account.id, **asked)
    return account, balance


async def invite(admin: Admin, body: Mapping[str, Any]) -> tuple[Link, str]:
    """An invitation and its address, which is not kept. Raises CallerFault 400."""
    asked = forms.INVITATION.read(body)
    link, token = await admin.stores.logins.create_link(
        NewLink(
            "invitation",
            asked.get("days", INVITATION_DAYS) * _DAY,
            email=asked.get("email", ""),
            role=asked.get("role", "user"),
            credits=asked.get("credits", 0),
        )
    )
    await admin.record("link.invite", link.id, email=link.email, role=link.role, credits=link.credits)
    return link, _url(admin, link, token)


async def make_link(admin: Admin, id_or_name: str, body: Mapping[str, Any]) -> tuple[Link, str]:
    """A link that signs in once, or sets a new password once, and its address, which is not kept. Raises CallerFault
    400, 404."""
    asked = forms.LINK.read(body)
    purpose: LinkPurpose = asked["purpose"]
    account = await account_of(admin, id_or_name)
    link, token = await admin.stores.logins.create_link(
        NewLink(purpose, asked.get("hours", LINK_HOURS) * _HOUR, account_id=account.id, email=asked.get("email", ""))
    )
    await admin.record(f"link.{purpose}", link.id, account=account.id, email=link.email)
    return link, _url(admin, link, token)


def _url(admin: Admin, link: Link, token: str) -> str:
    return link_url(own_address(admin.context.request, admin.context.runtime.config.server), link, token)


async def revoke_link(admin: Admin, link_id: str) -> None:
    """Raises CallerFault 404."""
    found(await admin.stores.logins.revoke_link(link_id) or None, "link")
    await admin.record("link.revoke", link_id)


async def sign_out(admin: Admin, id_or_name: str) -> int:
    """End every session of an account; returns how many. Raises CallerFault 404."""
    account = await account_of(admin, id_or_name)
    ended = await admin.stores.sessions.end_sessions(account.id)
    await admin.record("account.sign_out", account.id, sessions=ended)
    return ended


# -- routes ------------------------------------------------------------------------------------------------------


async def list_accounts(admin: Admin) -> web.StreamResponse:
    """In order of creation."""
    query = admin.context.request.query
    if "find" in query:
        accounts = await find(admin, query["find"])
    else:
        limit = page_number(query, "limit", 100, MOST_ROWS)
        accounts = await admin.stores.accounts.list_accounts(after=query.get("after", ""), limit=limit)
    return admin.context.json({"object": "list", "data": [asdict(account) for account in accounts]})


async def post_account(admin: Admin) -> web.StreamResponse:
    """A new one."""
    return admin.context.json(asdict(await create(admin, await admin.context.read_small())), status=201)


async def get_account(admin: Admin) -> web.StreamResponse:
    """One."""
    return admin.context.json(asdict(await account_of(admin, admin.context.values["account"])))


async def patch_account(admin: Admin) -> web.StreamResponse:
    """Change one."""
    changed = await update(admin, admin.context.values["account"], await admin.context.read_small())
    return admin.context.json(asdict(changed))


async def post_credits(admin: Admin) -> web.StreamResponse:
    """Book credits."""
    account, balance = await add_credits(admin, admin.context.values["account"], await admin.context.read_small())
    return admin.context.json({"account_id": account.id, "balance": balance})


async def get_usage(admin: Admin) -> web.StreamResponse:
    """As the account's own `GET /usage`."""
    account = await account_of(admin, admin.context.values["account"])
    query, config = admin.context.request.query, admin.context.runtime.config
    return admin.context.json(await usage_of(admin.stores, account.id, query, config))


async def get_login(admin: Admin) -> web.StreamResponse:
    """How a person signs in to an account."""
    account = await account_of(admin, admin.context.values["account"])
    login = await admin.stores.logins.login_of(account.id)
    sessions = await admin.stores.sessions.list_sessions(account.id)
    return admin.context.json(
        {
            "account_id": account.id,
            "email": None if login is None else login.email,
            "has_password": login is not None and login.password_hash != "",
            "changed_at": None if login is None else login.changed_at,
            "sessions": [asdict(session) for session in sessions],
        }
    )


async def delete_sessions(admin: Admin) -> web.StreamResponse:
    """Sign an account out everywhere."""
    return admin.context.json({"ended": await sign_out(admin, admin.context.values["account"])})


async def post_link(admin: Admin) -> web.StreamResponse:
    """A link for an account."""
    link, url = await make_link(admin, admin.context.values["account"], await admin.context.read_small())
    return admin.context.json({"url": url, **asdict(link)}, status=201)


async def list_links(admin: Admin) -> web.StreamResponse:
    """Those that hold, newest first."""
    return admin.context.json(
        {"object": "list", "data": [asdict(link) for link in await admin.stores.logins.list_links()]}
    )


async def post_invitation(admin: Admin) -> web.StreamResponse:
    """An invitation."""
    link, url = await invite(admin, await admin.context.read_small())
    return admin.context.json({"url": url, **asdict(link)}, status=201)


async def delete_link(admin: Admin) -> web.StreamResponse:
    """Make a link worthless."""
    await revoke_link(admin, admin.context.values["link"])
    return admin.context.json({"id": admin.context.values["link"], "revoked": True})
