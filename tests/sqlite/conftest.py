"""Stores on a fresh file, with clocks that a test can turn."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.sqlite import SqliteStores, open_stores
from gateway.stores import KeySettings
from gateway.testing.stores_contract import Clock, House

SECRET = b"a secret of the tests, not a real one"


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
