"""Stores on a fresh file, with clocks that a test can turn."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.sqlite import SqliteStores, open_stores
from gateway.stores import Account, HoldRequest, Key, KeySettings

SECRET = b"a secret of the tests, not a real one"
NOON = 1_795_219_200 + 12 * 3600
"""2026-11-21 12:00:00 UTC."""


class Clock:
    """Unix and monotonic seconds that stand still until moved."""

    def __init__(self) -> None:
        self.unix = float(NOON)
        self.steady = 1000.0

    def time(self) -> float:
        return self.unix

    def monotonic(self) -> float:
        return self.steady

    def move(self, seconds: float) -> None:
        self.unix += seconds
        self.steady += seconds


@dataclass
class House:
    """Stores with one account and one key, and short ways to ask for the usual things."""

    stores: SqliteStores
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

    async def kinds(self) -> list[tuple[str, int, int]]:
        """(kind, amount, reserved) of every entry but the first grant."""
        entries = await self.stores.ledger.entries(self.account.id, limit=1000)
        return [(entry.kind, entry.amount, entry.reserved) for entry in entries][1:]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def opening(tmp_path: Path, clock: Clock) -> AsyncIterator[Callable[..., Awaitable[SqliteStores]]]:
    """Opens stores on the test's one database, as often as wanted; closes them all in the end."""
    opened: list[SqliteStores] = []

    async def open_one(**changes: Any) -> SqliteStores:
        values: dict[str, Any] = {"clock": clock.time, "monotonic": clock.monotonic}
        stores = await open_stores(tmp_path / "gateway.db", SECRET, **(values | changes))
        opened.append(stores)
        return stores

    yield open_one
    for stores in opened:
        await stores.close()


@pytest.fixture
async def stores(opening: Callable[..., Awaitable[SqliteStores]]) -> SqliteStores:
    return await opening()


@pytest.fixture
async def house(stores: SqliteStores, clock: Clock) -> AsyncIterator[House]:
    """An account with 1000 credits and one key. Whatever the test does, the books must be right after it."""
    account = await stores.accounts.create_account("ada", grant=1000)
    key, plain = await stores.keys.create_key(account.id, KeySettings(name="first"))
    yield House(stores, clock, account, key, plain)
    assert await stores.check() == []


@pytest.fixture(scope="session")
def soak() -> ModuleType:
    """The proofs, which `scripts/money-soak` runs longer."""
    path = Path(__file__).parents[2] / "scripts" / "money-soak"
    loader = importlib.machinery.SourceFileLoader("money_soak", str(path))
    spec = importlib.util.spec_from_loader("money_soak", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules["money_soak"] = module
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module
