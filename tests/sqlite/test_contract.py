"""SQLite keeps what stores promise. What is its own (writer, migrations, files, kills) is tested in the other files."""

from __future__ import annotations

import asyncio

import pytest

from gateway.sqlite import open_stores
from gateway.testing.stores_contract import Clock, StoresContract

SECRET = b"a secret of the tests, not a real one"


class SqliteFactory:
    """Stores on one file."""

    def __init__(self, path):
        self.path = path
        self.clock = Clock()

    async def open(self):
        return await open_stores(self.path, SECRET, clock=self.clock.time, monotonic=self.clock.monotonic)

    async def crash(self, stores):
        """What remains of a process that was killed: its row in the table, and no lock."""
        await stores.write(lambda _: None)
        lock, stores.presence._lock = stores.presence._lock, None
        await asyncio.to_thread(lock.release)
        await stores.close()


class TestSqlite(StoresContract):
    @pytest.fixture
    def stores_factory(self, tmp_path):
        return SqliteFactory(tmp_path / "gateway.db")
