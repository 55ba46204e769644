"""Who looks at a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.http.server.request_context import RequestContext
from gateway.http.server.sessions import SignedIn, find_signed_in


class Visitor(Protocol):
    """Who asked for a page.

    account_id, name: of the account, "" for a stranger. csrf: what this session's forms and scripts must send along
    with everything that changes something, "" without a session.
    """

    @property
    def signed_in(self) -> bool: ...
    @property
    def account_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def is_admin(self) -> bool: ...
    @property
    def csrf(self) -> str: ...


class Visitors(Protocol):
    """Finds out who asks."""

    async def find(self, context: RequestContext) -> Visitor:
        """The visitor of a request; a stranger when it carries no session, or none that is good."""
        ...


@dataclass(frozen=True, slots=True)
class Stranger:
    """A visitor without a session."""

    signed_in: bool = False
    account_id: str = ""
    name: str = ""
    is_admin: bool = False
    csrf: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is signed in. who: the session and its account."""

    who: SignedIn
    signed_in: bool = True

    @property
    def account_id(self) -> str:
        """The account's."""
        return self.who.account.id

    @property
    def name(self) -> str:
        """The account's."""
        return self.who.account.name

    @property
    def is_admin(self) -> bool:
        """By the account's role, as it is now."""
        return self.who.account.role == "admin"

    @property
    def csrf(self) -> str:
        """The session's."""
        return self.who.csrf


def member_of(visitor: Visitor) -> SignedIn:
    """Who is signed in, for pages that need an account."""
    assert isinstance(visitor, Member)
    return visitor.who


class Members:
    """Finds visitors by the session in their cookie."""

    async def find(self, context: RequestContext) -> Visitor:
        """Who is signed in, or a stranger."""
        who = await find_signed_in(context.request, context.gateway.stores)
        return Stranger() if who is None else Member(who)
