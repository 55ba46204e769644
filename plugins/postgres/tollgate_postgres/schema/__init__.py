"""The shape of the database, and how it gets there.

Versions only add (expand): what an older program does not know does not disturb it, so old and new gateways work side
by side, and what nobody uses any more is taken away by a later version (contract). The functions are replaced as a
whole when a newer program starts first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from gateway.api import GatewayFault
from gateway.api.stores import DATABASE_MARK, derive

if TYPE_CHECKING:
    import asyncpg

VERSION = 2
"""Of the tables. Raised together with a new file `vN.sql`."""
FUNCTIONS = 2
"""Of the functions: raised with every change to functions.sql, so that an older program does not put its own back."""
_LOCK = 0x746F6C6C67617465


def read_scripts() -> dict[str, str]:
    """The texts of all scripts of this package by their names; reads files."""
    names = ["functions.sql", *(f"v{number}.sql" for number in range(1, VERSION + 1))]
    return {name: files(__package__).joinpath(name).read_text() for name in names}


def pending(version: int) -> list[str]:
    """The scripts that bring a database of this version (0: empty) to the newest one."""
    return [f"v{number}.sql" for number in range(version + 1, VERSION + 1)]


async def read_version(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    """0 for a database without our tables. Raises GatewayFault when the tables are somebody else's."""
    if await connection.fetchval("SELECT to_regclass('facts')") is None:
        if await connection.fetchval("SELECT to_regclass('accounts')") is not None:
            raise GatewayFault("This database has tables of another program. Give the gateway one of its own.")
        return 0
    return int(await connection.fetchval("SELECT value FROM facts WHERE name = 'version'") or 0)


async def migrate(connection: asyncpg.Connection[asyncpg.Record], secret: bytes, scripts: Mapping[str, str]) -> int:
    """Bring the database to the newest shape, one gateway at a time; returns its version. Raises GatewayFault when it
    is newer than this program, or belongs to another server secret."""
    mark = hashlib.sha256(derive(secret, DATABASE_MARK)).hexdigest()
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        version = await read_version(connection)
        if version > VERSION:
            raise GatewayFault(
                f"The database has version {version}, made by a newer gateway; this one knows {VERSION}."
            )
        for name in pending(version):
            await connection.execute(scripts[name], timeout=3600.0)
        facts = {row[0]: row[1] for row in await connection.fetch("SELECT name, value FROM facts")}
        if facts.get("secret", mark) != mark:
            raise GatewayFault(
                "The database belongs to another server secret: no key would work. Put the secret file of the gateway "
                "that made it into the data folder."
            )
        if int(facts.get("functions", 0)) < FUNCTIONS:
            await connection.execute(scripts["functions.sql"])
        for name, value in (("version", VERSION), ("functions", max(FUNCTIONS, int(facts.get("functions", 0)))),
                            ("secret", mark)):  # fmt: skip
            await connection.execute(
                "INSERT INTO facts VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                name, str(value),
            )  # fmt: skip
    return VERSION
