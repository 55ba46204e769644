"""A real PostgreSQL server for the tests, and databases in it."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from .server import Server

# What an earlier test left: connections that are still being closed, rows, and its gateway's secret. No trigger runs,
# since some forbid to delete; what stays are the tables, and which version they are of.
CLEAN = """
    SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid();
    SET session_replication_role = replica;
    DO $$ DECLARE found record; BEGIN
        FOR found IN SELECT relname, relkind FROM pg_class WHERE relnamespace = current_schema()::regnamespace
            AND relkind IN ('r', 'p', 'S') AND NOT relispartition AND relname NOT IN ('facts', 'generation')
        LOOP
            IF found.relkind = 'S' THEN
                PERFORM setval(found.relname::regclass, 1, false);
            ELSE
                EXECUTE format('DELETE FROM %I', found.relname);
            END IF;
        END LOOP;
        UPDATE generation SET n = 1;
        DELETE FROM facts WHERE name NOT IN ('version', 'functions');
    END $$
"""


class Databases:
    """Databases of one server, as far as a gateway can see. Inside they are schemas: one is made in a moment, a
    database takes a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._runner = asyncio.Runner()
        self._numbers = itertools.count()
        self._migrated = ""

    def execute(self, sql: str, name: str = "public") -> None:
        """Run statements with this schema as the current one."""
        import asyncpg

        async def work() -> None:
            connection = await asyncpg.connect(self.url_of(name))
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        self._runner.run(work())

    def url_of(self, name: str) -> str:
        """What a gateway is told."""
        return f"{self._server.url}&search_path={name}"

    def make(self) -> str:
        """A new one, with nothing in it."""
        name = f"gateway_{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {name}")
        return name

    def migrated(self) -> str:
        """The one that has the newest tables, as empty as on its first day."""
        if not self._migrated:
            from tollgate_postgres.kind import PostgresKind

            from gateway.api.stores import StoresSettings

            self._migrated = self.make()
            self._runner.run(PostgresKind().migrate(self.url_of(self._migrated), StoresSettings("", b"of nobody")))
        self.execute(CLEAN, self._migrated)
        return self._migrated

    def close(self) -> None:
        """They go with their server."""
        self._runner.close()


@pytest.fixture(scope="session")
def postgres_server():
    """A server that lives as long as the tests of this process."""
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def databases(postgres_server):
    databases = Databases(postgres_server)
    yield databases
    databases.close()


@pytest.fixture
def database_url(databases):
    """A database with tables and without rows."""
    return databases.url_of(databases.migrated())


@pytest.fixture
def empty_database_url(databases):
    """A database without tables."""
    name = databases.make()
    yield databases.url_of(name)
    databases.execute(f"DROP SCHEMA {name} CASCADE")


def pytest_collection_modifyitems(items):
    """asyncpg looks for ~/.pgpass and certificates when it connects, with a few calls of stat."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.blocking_allowed)
