"""The audit log only grows, whatever statement comes."""

from __future__ import annotations

import sqlite3

import pytest

from gateway.errors import GatewayFault


@pytest.mark.parametrize("sql", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
async def test_entries_cannot_be_changed_or_deleted(house, sql):
    await house.stores.audit.record("admin", "key.revoke", "key_1")
    with pytest.raises((GatewayFault, sqlite3.Error)):
        await house.stores.write(lambda connection: connection.execute(sql))
    assert len(await house.stores.audit.entries()) == 1
