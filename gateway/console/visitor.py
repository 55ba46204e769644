"""Who looks at a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.http.server.request_context import RequestContext


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


class Strangers:
    """The visitors of a gateway without sessions: all of them strangers."""

    async def find(self, context: RequestContext) -> Visitor:
        """A stranger."""
        return Stranger()
