"""Grants, refunds, vouchers: each at most once."""

from __future__ import annotations

import pytest


class TestEntries:
    async def test_entries_cannot_be_changed_or_deleted(self, house):
        for sql in ("UPDATE entries SET amount = 5", "DELETE FROM entries"):
            with pytest.raises(Exception, match="failed while booking"):
                await house.stores.write(lambda connection, sql=sql: connection.execute(sql))
