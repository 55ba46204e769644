"""Accounts: made, found, changed by an explicit list of members."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import CallerFault, Refusal
from gateway.stores import Account, AccountChange


async def test_create_with_a_grant(stores, clock):
    account = await stores.accounts.create_account("ada", role="admin", grant=70)
    assert account == Account(account.id, "ada", "admin", 70, 0, int(clock.unix))
    assert [entry.amount for entry in await stores.ledger.entries(account.id)] == [70]
    assert await stores.check() == []


async def test_names_are_unique_also_at_once(stores):
    made = await asyncio.gather(*(stores.accounts.create_account("ada") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(one, Account) for one in made) == 1
    assert {one.status for one in made if isinstance(one, Refusal)} == {409}


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "a\tb"}, {"role": "root"}, {"grant": -1}, {"grant": 2**60}])
async def test_wrong_values_are_refused(stores, wrong):
    with pytest.raises(CallerFault):
        await stores.accounts.create_account(**({"name": "ada"} | wrong))


async def test_find_by_id_or_name(stores):
    account = await stores.accounts.create_account("ada")
    assert await stores.accounts.find_account("ada") == account
    assert await stores.accounts.find_account(account.id) == account
    assert await stores.accounts.find_account("%") is None
    assert await stores.accounts.get_account("ada") is None


async def test_pages(stores):
    made = [await stores.accounts.create_account(f"n{9 - i}") for i in range(5)]
    first = await stores.accounts.list_accounts(limit=3)
    second = await stores.accounts.list_accounts(after=first[-1].id, limit=3)
    assert first + second == made
    assert await stores.accounts.list_accounts(after="acct_unknown") == []


async def test_update_sets_only_what_is_named(stores):
    account = await stores.accounts.create_account("ada", grant=5)
    change = AccountChange(("requests_per_minute",), name="other", role="admin", disabled=True, requests_per_minute=9)
    changed = await stores.accounts.update_account(account.id, change)
    assert (changed.name, changed.role, changed.disabled, changed.requests_per_minute) == ("ada", "user", False, 9)
    assert await stores.accounts.update_account("acct_unknown", change) is None


@pytest.mark.parametrize("member", ["balance", "held", "id", "created_at", "n", "name = 'x', balance"])
async def test_money_is_never_set(stores, member):
    account = await stores.accounts.create_account("ada", grant=5)
    with pytest.raises(CallerFault):
        await stores.accounts.update_account(account.id, AccountChange((member,)))


async def test_a_taken_name_changes_nothing(stores):
    await stores.accounts.create_account("ada")
    eve = await stores.accounts.create_account("eve")
    with pytest.raises(Refusal):
        await stores.accounts.update_account(eve.id, AccountChange(("disabled", "name"), name="ada", disabled=True))
    assert await stores.accounts.get_account(eve.id) == eve
