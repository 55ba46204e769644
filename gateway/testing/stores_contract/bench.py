"""What the contract of stores works with: a clock that a test can turn, and a house with one account and one key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from gateway.stores import Account, HoldRequest, Key, Stores

NOON = 1_795_219_200 + 12 * 3600
"""2026-11-21 12:00:00 UTC."""


class Clock:
    """Unix and monotonic seconds that stand still until moved."""

    def __init__(self) -> None:
        self.unix = float(NOON)
        self.steady = 1000.0

    def time(self) -> float:
        """Unix seconds."""
        return self.unix

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.steady

    def move(self, seconds: float) -> None:
        """Both go on."""
        self.unix += seconds
        self.steady += seconds


class StoresFactory(Protocol):
    """What the author of a store gives to the contract: one fresh database per test.

    clock: what the opened stores must read their time from.
    """

    clock: Clock

    async def open(self) -> Stores:
        """Another process on the same database."""

    async def crash(self, stores: Stores) -> None:
        """End this process as if it had been killed, after what it handed over was made durable, so that its lease is
        dead for the others: nothing is signed off."""


@dataclass
class House:
    """Stores with one account and one key, and short ways to ask for the usual things."""

    stores: Stores
    clock: Clock
    account: Account
    key: Key
    plain: str
    period: str = "2026-11"
    made: int = field(default=0)

    def request(self, request_id: str = "", **changes: Any) -> HoldRequest:
        """A hold of 10 credits and 2 more per output token, 20 tokens wanted: 50 credits."""
        self.made += 1
        values: dict[str, Any] = {
            "request_id": request_id or f"req_{self.made:08d}",
            "account_id": self.account.id,
            "key_id": self.key.id,
            "period": self.period,
            "monthly_limit": None,
            "base": Decimal(10),
            "unit_price": Decimal(2),
            "units": 20,
            "least_units": 1,
            "model": "lab/model",
        }
        return HoldRequest(**(values | changes))

    async def balance(self) -> tuple[int, int]:
        """(balance, held)"""
        account = await self.stores.accounts.get_account(self.account.id)
        assert account is not None
        return account.balance, account.held

    async def kinds(self) -> Sequence[tuple[str, int, int]]:
        """(kind, amount, reserved) of every entry but the first grant."""
        entries = await self.stores.ledger.entries(self.account.id, limit=1000)
        return [(entry.kind, entry.amount, entry.reserved) for entry in entries][1:]
