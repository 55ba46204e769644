"""The promises of stores, as tests that any store has to pass.

    class TestMyStore(StoresContract):
        @pytest.fixture
        def stores_factory(self, tmp_path):
            return MyFactory(tmp_path)      # see `StoresFactory`

After each test every sum is recomputed (`Stores.check`). The tests know nothing but the protocols of `gateway.stores`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from gateway.stores import KeySettings, Stores
from gateway.testing.stores_contract.bench import Clock, House, StoresFactory
from gateway.testing.stores_contract.credits import EntriesPromises, GrantPromises, RefundPromises, VouchersPromises
from gateway.testing.stores_contract.holds import GrowPromises, HoldPromises, SettlePromises, StepsPromises
from gateway.testing.stores_contract.idempotency import IdempotencyPromises
from gateway.testing.stores_contract.identity import (
    AccountsPromises,
    AuthenticateKeysPromises,
    ChangeKeysPromises,
    CreateKeysPromises,
    RevocationKeysPromises,
    SessionsPromises,
)
from gateway.testing.stores_contract.logins import LinksPromises, LoginsPromises, SignUpPromises
from gateway.testing.stores_contract.objects import ObjectsPromises
from gateway.testing.stores_contract.presence import FailOverPromises, LeasePromises
from gateway.testing.stores_contract.proofs import LifePromises, ProofsPromises
from gateway.testing.stores_contract.state import ConversationsPromises, CountersPromises, ResponsesPromises
from gateway.testing.stores_contract.topups import TopupsPromises
from gateway.testing.stores_contract.transfer import TransferPromises
from gateway.testing.stores_contract.usage import UsagePromises

__all__ = ["Clock", "House", "StoresContract", "StoresFactory"]


class StoresContract(
    ProofsPromises,
    LifePromises,
    HoldPromises,
    StepsPromises,
    GrowPromises,
    SettlePromises,
    GrantPromises,
    RefundPromises,
    VouchersPromises,
    EntriesPromises,
    TopupsPromises,
    FailOverPromises,
    LeasePromises,
    AccountsPromises,
    CreateKeysPromises,
    AuthenticateKeysPromises,
    RevocationKeysPromises,
    ChangeKeysPromises,
    SessionsPromises,
    LoginsPromises,
    SignUpPromises,
    LinksPromises,
    UsagePromises,
    ObjectsPromises,
    CountersPromises,
    ResponsesPromises,
    ConversationsPromises,
    IdempotencyPromises,
    TransferPromises,
):
    """All promises; see the module. Subclass it and give it a `stores_factory`."""

    @pytest.fixture
    def stores_factory(self) -> StoresFactory:
        """A fresh database. To be overridden."""
        raise NotImplementedError("a subclass of StoresContract needs a fixture `stores_factory`")

    @pytest.fixture
    def clock(self, stores_factory: StoresFactory) -> Clock:
        """The clock of the factory."""
        return stores_factory.clock

    @pytest_asyncio.fixture
    async def opening(self, stores_factory: StoresFactory) -> AsyncIterator[Callable[[], Awaitable[Stores]]]:
        """Opens stores on the test's one database, as often as wanted; closes them all in the end."""
        opened: list[Stores] = []

        async def open_one() -> Stores:
            opened.append(await stores_factory.open())
            return opened[-1]

        yield open_one
        assert await (await open_one()).check() == []
        for stores in opened:
            await stores.close()

    @pytest_asyncio.fixture
    async def stores(self, opening: Callable[[], Awaitable[Stores]]) -> Stores:
        """One process's stores on an empty database."""
        return await opening()

    @pytest_asyncio.fixture
    async def house(self, stores: Stores, clock: Clock) -> House:
        """An account with 1000 credits and one key."""
        account = await stores.accounts.create_account("ada", grant=1000)
        key, plain = await stores.keys.create_key(account.id, KeySettings(name="first"))
        return House(stores, clock, account, key, plain)
