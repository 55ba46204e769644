"""Accounts: who may call, and how much is left to them; see `gateway.stores`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, frozen=True)
class Account:
    """balance: credits left (settled); held: credits reserved by running calls; `held <= balance` always.
    alert_thresholds: percents of its budget at which is told of it; None: those of the configuration."""

    id: str
    name: str
    role: str
    balance: int
    held: int
    created_at: int
    requests_per_minute: int | None = None
    disabled: bool = False
    alert_thresholds: tuple[int, ...] | None = None


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
    alert_thresholds: tuple[int, ...] | None = None


class Accounts(Protocol):
    """Who may call, and how much is left to them. The figures are as of the last durable change; `balance` and `held`
    of one answer belong together."""

    async def create_account(self, name: str, *, role: str = "user", grant: int = 0) -> Account:
        """A new account; `grant` credits are booked as its first entry, in the same step. Names are unique over the
        whole store, 1 to 200 printable characters. Not idempotent: a caller that lost the answer finds the account by
        its name. Raises Refusal(409) when the name is taken, CallerFault for anything that cannot be stored."""

    async def get_account(self, account_id: str) -> Account | None:
        """The account with this id."""

    async def find_account(self, id_or_name: str) -> Account | None:
        """The account with this id, else the one with this name."""

    async def list_accounts(self, *, after: str = "", limit: int = 100) -> list[Account]:
        """In order of creation; `after` is the id of the last account of the page before. limit: 1 to 1000. Empty
        when `after` is unknown."""

    async def update_account(self, account_id: str, change: AccountChange) -> Account | None:
        """Set what `change` names; None when there is no such account. Idempotent. A disabled account counts within
        one second, in every process: its keys are unknown, and its holds are no longer granted or grown. Raises
        Refusal(409) when the name is taken, CallerFault when `change` names what cannot be set."""

    async def erase_account(self, account_id: str) -> Account | None:
        """Erase for good what is personal of an account, and disable it: its name (`gateway.stores.checks.erased_name`
        from then on), login, identities, links, sessions, its keys' secrets, names and addresses, its stored responses
        and conversations. What it used and paid stays, under its id. None when there is no such account. Every access
        ends in one step; what is stored may go in further ones. Idempotent: asked again, it finishes what was broken
        off."""
