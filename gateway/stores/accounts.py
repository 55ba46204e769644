"""Who may call: accounts and their keys; see `gateway.stores`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.call import Caller


@dataclass(slots=True, frozen=True)
class Account:
    """balance: credits left (settled); held: credits reserved by running calls; `held <= balance` always."""

    id: str
    name: str
    role: str
    balance: int
    held: int
    created_at: int
    requests_per_minute: int | None = None
    disabled: bool = False


@dataclass(slots=True, frozen=True)
class AccountChange:
    """The members of an account that may be changed, each only when its name is in `change`: never the balance.

    change: the names of the members to set, e.g. `("name", "disabled")`.
    """

    change: tuple[str, ...]
    name: str = ""
    role: str = "user"
    disabled: bool = False
    requests_per_minute: int | None = None


@dataclass(slots=True, frozen=True)
class Key:
    """A key without its secret. label: prefix and last four characters, fit for display and logs."""

    id: str
    account_id: str
    name: str
    label: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    monthly_limit: int | None = None
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    ip_allow: tuple[str, ...] | None = None


@dataclass(slots=True, frozen=True)
class KeySettings:
    """What its creator decides about a key; see `Key` and `gateway.call.Caller` for meanings and units."""

    name: str = ""
    expires_at: int | None = None
    monthly_limit: int | None = None
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    ip_allow: tuple[str, ...] | None = None


class Accounts(Protocol):
    """Who may call, and how much is left to them."""

    async def create_account(self, name: str, *, role: str = "user", grant: int = 0) -> Account:
        """A new account; `grant` credits are booked as its first entry. Raises Refusal(409) when the name is taken."""

    async def get_account(self, account_id: str) -> Account | None: ...

    async def find_account(self, id_or_name: str) -> Account | None: ...

    async def list_accounts(self, *, after: str = "", limit: int = 100) -> list[Account]:
        """In order of creation; `after` is the id of the last account of the page before."""

    async def update_account(self, account_id: str, change: AccountChange) -> Account | None:
        """Set what `change` names; None when there is no such account. A disabled account counts within one second."""


class Keys(Protocol):
    """Credentials. Where `account_id` is given, a key of another account is as good as unknown."""

    async def create_key(self, account_id: str, settings: KeySettings) -> tuple[Key, str]:
        """A new key and its plain text, which is not kept. Raises Refusal when the account has too many."""

    async def authenticate(self, plain: str, remote: str) -> Caller | None:
        """The caller behind a plain key, or None when it is unknown, expired, revoked, or of a disabled account.
        Raises Refusal(403) when the key may not be used from `remote`. A revocation counts within one second."""

    async def get_key(self, key_id: str, *, account_id: str | None = None) -> Key | None: ...

    async def list_keys(self, account_id: str | None = None) -> list[Key]: ...

    async def update_key(self, key_id: str, settings: KeySettings, *, account_id: str | None = None) -> Key | None:
        """Replace all settings of a key that is not revoked; None when there is none."""

    async def rotate_key(
        self, key_id: str, *, grace: float = 0.0, account_id: str | None = None
    ) -> tuple[Key, str] | None:
        """A new secret for the same key: its id, settings and use stay. The old secret works `grace` seconds more."""

    async def revoke_key(self, key_id: str, *, account_id: str | None = None) -> Key | None: ...

    async def month_use(self, key_id: str, period: str) -> tuple[int, int]:
        """Credits (charged, held) of a key in a UTC month."""
