"""PostgreSQL keeps what stores promise."""

from __future__ import annotations

import pytest
from tollgate_postgres.opened import open_stores

from gateway.api.stores import StoresSettings
from gateway.testing.stores_contract import Clock, StoresContract

SECRET = b"a secret of the tests, not a real one"


class PostgresFactory:
    """Stores on one database."""

    def __init__(self, url, data):
        self.url = url
        self.data = str(data)
        self.clock = Clock()

    async def open(self):
        settings = StoresSettings(self.data, SECRET)
        return await open_stores(self.url, settings, clock=self.clock.time, monotonic=self.clock.monotonic)

    async def crash(self, stores):
        """What remains of a process that was killed, after its lease has run out."""
        await stores.lanes.drain()
        await stores.lanes.stop()
        await stores.database.execute("UPDATE leases SET expires = 0 WHERE id = $1", stores.presence.lease.id)
        await stores.database.close()
        stores.closed = True


class TestPostgres(StoresContract):
    @pytest.fixture
    def stores_factory(self, database_url, tmp_path):
        return PostgresFactory(database_url, tmp_path)
