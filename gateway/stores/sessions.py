"""Sessions of people who signed in to the console; see `gateway.stores`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, frozen=True)
class Session:
    """A session without its token. account_id: "" for the operator, who signs in with the admin secret.

    created_at, expires_at, last_seen_at: unix seconds. remote: the address it began at; agent: what the browser said
    it is, at most 200 characters; both only for the list that its owner sees.
    """

    id: str
    account_id: str
    created_at: int
    expires_at: int
    last_seen_at: int
    remote: str = ""
    agent: str = ""


class Sessions(Protocol):
    """Sessions live in the store, not in the cookie, so that they can be ended. A token has 256 random bits; only its
    digest is kept. An ended, expired or unknown session is all the same."""

    async def open_session(
        self, account_id: str, *, lifetime: int, remote: str = "", agent: str = ""
    ) -> tuple[Session, str]:
        """A new session that ends after `lifetime` seconds whatever happens, and its token, which is not kept.
        Raises Refusal(404) when there is no such account, Refusal(403) when it is disabled."""

    async def find_session(self, token: str) -> Session | None:
        """The session behind a token; None also when its account is disabled. Reads the store's present state: an end
        counts at once for every process. `last_seen_at` is kept to the minute, without waiting."""

    async def list_sessions(self, account_id: str) -> list[Session]:
        """The account's sessions that have not ended, newest first."""

    async def end_session(self, session_id: str, *, account_id: str | None = None) -> bool:
        """Sign out; False when there was no such session (of this account, where one is given). Idempotent."""

    async def end_sessions(self, account_id: str, *, but: str = "") -> int:
        """Sign an account out everywhere, except in the session with the id `but`. Returns how many ended."""

    async def prune(self, now: int) -> int:
        """Delete what expired; returns how many."""
