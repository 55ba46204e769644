"""Logins: how people sign in to the console, and the links that let them in once; see `gateway.stores`.

Who an account is to programs, its keys say (`Keys`); who it is to a person, its login says. An account may have both,
one of them, or neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.stores.accounts import Account

LinkPurpose = Literal["invitation", "sign_in", "password"]
"""What a link is good for: a new account; one sign-in to an account; a new password for an account."""


@dataclass(slots=True, frozen=True)
class Login:
    """How a person signs in to an account. email: in lower case; no other login has it. password_hash: as
    `gateway.passwords` writes it, "" for an account that is entered by links or another service only.
    changed_at: when the password was set, unix seconds."""

    account_id: str
    email: str
    password_hash: str = field(repr=False)
    changed_at: int


@dataclass(slots=True, frozen=True)
class Link:
    """A link without its token. Each works once, until `expires_at` (unix seconds).

    account_id: whose, "" for an invitation. email: for whom an invitation is, or the address that goes with a new
    password; "" for whoever has it. role, credits: what an invited account begins with.
    """

    id: str
    purpose: LinkPurpose
    created_at: int
    expires_at: int
    account_id: str = ""
    email: str = ""
    role: str = "user"
    credits: int = 0


@dataclass(slots=True, frozen=True)
class NewLink:
    """What a link shall be; see `Link`. lifetime: seconds it holds."""

    purpose: LinkPurpose
    lifetime: int
    account_id: str = ""
    email: str = ""
    role: str = "user"
    credits: int = 0


@dataclass(slots=True, frozen=True)
class SignUp:
    """Somebody who wants an account. password_hash: "" for who signs in by another service only. grant: credits to
    begin with. invitation: the token of one, or "". identity: (issuer, subject) to link with it, see
    `Logins.add_identity`."""

    email: str
    password_hash: str = field(repr=False)
    grant: int = 0
    invitation: str = field(default="", repr=False)
    identity: tuple[str, str] | None = None


class Logins(Protocol):
    """Logins, identities at other services, and links. Of a link's token (256 random bits) only the digest is kept. A
    link that was used, has expired, was revoked or never was, and one of a disabled account, are all the same."""

    async def find_login(self, email: str) -> Login | None:
        """The login with this address, in any case."""

    async def login_of(self, account_id: str) -> Login | None:
        """The login of an account."""

    async def set_login(
        self, account_id: str, *, email: str | None = None, password_hash: str | None = None, keep: str = ""
    ) -> Login:
        """Set the address, the password or both; what is None stays. A new password ends all sessions of the account,
        except that with the id `keep`, in the same step. Raises Refusal(404) without such an account, Refusal(409) when
        another login has the address, CallerFault for one that cannot be stored, or when there is none yet."""

    async def erase_login(self, account_id: str) -> bool:
        """Delete login, identities, links and sessions of an account; False when there was no login. Idempotent."""

    async def sign_up(self, new: SignUp) -> Account:
        """A new account named by its address, with its login, in one step; `grant` credits are its first entry.

        An invitation is used up by this: then its role counts, and its credits beside `grant`. Raises Refusal(409) when
        the address is taken by a login or as a name, or the identity by another account, Refusal(404, code
        `invalid_link`) when the invitation does not hold or is for another address, CallerFault for an address that
        cannot be stored. Then nothing is used up."""

    async def find_identity(self, issuer: str, subject: str) -> str | None:
        """The account that somebody signs in to whom another service knows as `subject`."""

    async def add_identity(self, account_id: str, issuer: str, subject: str) -> None:
        """Let the person whom `issuer` knows as `subject` sign in to this account. Idempotent. Raises Refusal(409) when
        that is another account's identity, Refusal(404) without such an account."""

    async def create_link(self, new: NewLink) -> tuple[Link, str]:
        """A new link, and its token, which is not kept. Raises Refusal(404) for an unknown account, CallerFault for
        what cannot be stored."""

    async def find_link(self, token: str, purpose: LinkPurpose) -> Link | None:
        """The link behind a token, which stays as it is."""

    async def take_link(self, token: str, purpose: LinkPurpose) -> Link | None:
        """Use a link up: of all who ask for the same one, a single caller gets it."""

    async def reset_password(self, token: str, password_hash: str, *, email: str = "") -> Login | None:
        """Use up a link for a new password: set it, and end every session of the account, in one step; None when the
        link does not hold. email: the address of an account that had none. Raises like `set_login`, and then nothing
        was used up."""

    async def list_links(self) -> list[Link]:
        """The links that hold, newest first."""

    async def revoke_link(self, link_id: str) -> bool:
        """Make a link worthless; False when there was none. Idempotent."""

    async def prune_links(self, now: int) -> int:
        """Delete what expired; returns how many."""
