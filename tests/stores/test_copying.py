"""A copy is proven, or said to be wrong."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.api.stores import StoresSettings
from gateway.errors import GatewayFault
from gateway.stores.copying import copy_stores
from gateway.testing.memory_stores import MemoryKind


@pytest.fixture
async def ends():
    kind, settings = MemoryKind(), StoresSettings("/nowhere", b"a secret of the tests")
    return [await kind.open(f"memory://{name}", settings) for name in ("from", "to")]


async def test_texts_lose_the_character_that_not_every_database_can_keep(ends):
    source, target = ends
    account = await source.accounts.create_account("ada", grant=1)
    talk = await source.conversations.create_conversation(account.id, {"a\0": "b\0"}, [], expires=2**40)
    await copy_stores(source, target, lambda table, count: None)
    found = await target.conversations.get_conversation(account.id, talk.id)
    assert dict(found.metadata) == {"a\ufffd": "b\ufffd"}


async def test_a_source_that_is_not_sound_is_not_copied(ends):
    source, target = ends
    account = await source.accounts.create_account("ada", grant=10)
    source.world.accounts[account.id] = replace(account, balance=11)
    with pytest.raises(GatewayFault, match="not sound, so it is not copied: account"):
        await copy_stores(source, target, lambda table, count: None)
    assert await target.accounts.list_accounts() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:-1], "row 2 of accounts"),
        (lambda rows: [*rows, rows[-1]], "more accounts"),
        (lambda rows: [rows[0], (*rows[1][:4], 7, *rows[1][5:])], "row 2 of accounts"),
    ],
)
async def test_a_copy_that_is_not_the_same_is_told(ends, monkeypatch, change, words):
    source, target = ends
    for name in ("ada", "bo"):
        await source.accounts.create_account(name, grant=10)
    real = type(target).snapshot

    class Bent:
        def __init__(self, snapshot):
            self.snapshot = snapshot

        async def rows(self, table):
            async for rows in self.snapshot.rows(table):
                yield change(rows) if table == "accounts" else rows

    @asynccontextmanager
    async def bent(stores):
        async with real(stores) as snapshot:
            yield snapshot if stores is source else Bent(snapshot)

    monkeypatch.setattr(type(target), "snapshot", bent)
    with pytest.raises(GatewayFault, match=words):
        await copy_stores(source, target, lambda table, count: None)
