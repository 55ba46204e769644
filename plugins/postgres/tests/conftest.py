"""A real PostgreSQL server for the tests, from the wheel `pgserver`; skipped where there is none."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_server():
    """A server that lives as long as the tests of this process. Run as root, it becomes another user, who must get at
    its folder; so that is not in pytest's own, which are private."""
    place = Path(tempfile.mkdtemp(prefix="tollgate-postgres-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pgserver", reason="the wheel pgserver is not there for this platform")
        server = pgserver.get_server(place, cleanup_mode="stop")
    # Nobody cuts the power: a server that is killed leaves what it wrote to the system.
    for setting in ("fsync", "full_page_writes"):
        server.psql(f"ALTER SYSTEM SET {setting} = off")
    server.psql("SELECT pg_reload_conf()")
    yield server
    server.cleanup()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def database_numbers():
    """Names of databases, each given once."""
    return itertools.count()


@pytest.fixture
def database_url(postgres_server, database_numbers):
    """A fresh database, as far as the gateway can see."""
    import asyncpg

    # A schema is made in a moment, a database takes a second.
    name = f"gateway_{next(database_numbers)}"

    async def command(sql):
        connection = await asyncpg.connect(postgres_server.get_uri())
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(command(f"CREATE SCHEMA {name}"))
    yield f"{postgres_server.get_uri()}&search_path={name}"
    asyncio.run(command(f"DROP SCHEMA {name} CASCADE"))


def pytest_collection_modifyitems(items):
    """asyncpg looks for ~/.pgpass and certificates when it connects, with a few calls of stat."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.blocking_allowed)
