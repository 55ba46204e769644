"""People who are signed in, without the pages that sign in: their browser has a session's cookie from the start."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.async_api import BrowserContext

from gateway.http.server.sessions import SignedIn
from gateway.stores import Account
from gateway.testing import RunningGateway

COOKIE = "gateway_session"
"""What the session's cookie is called where there is no TLS."""


@dataclass
class Person:
    """token: of the session; csrf: what goes along with everything that changes something."""

    account: Account
    token: str
    csrf: str


async def new_person(
    running: RunningGateway, *, name: str = "ada <b>", credits: int = 1_000_000, role: str = "user"
) -> Person:
    """A new account with a session."""
    stores = running.gateway.stores
    account = await stores.accounts.create_account(name, role=role, grant=credits)
    session, token = await stores.sessions.open_session(account.id, lifetime=3600)
    return Person(account, token, SignedIn(session, account, token).csrf)


async def sign_in(running: RunningGateway, context: BrowserContext, person: Person) -> None:
    """Let a browser be this person's."""
    await context.add_cookies(
        [{"name": COOKIE, "value": person.token, "url": running.url, "httpOnly": True, "sameSite": "Lax"}]
    )
