"""The shape of the database, and how it gets there.

Expand, then contract. A script `vN.sql` only adds: what an older program does not know does not disturb it, so old and
new gateways work side by side, and the first new one that starts runs it. What only programs before version N used is
taken away by a script `cN.sql`, which a release brings that does not use it any more, and which `gateway db migrate`
runs once no such program lives. The database remembers the lowest version that can work with it (`least`).

The functions are replaced as a whole when a newer program starts first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from gateway.api import GatewayFault
from gateway.api.stores import DATABASE_MARK, MigrationPlan, MigrationStep, derive, other_secret

if TYPE_CHECKING:
    import asyncpg

VERSION = 7
"""Of the tables. Raised together with a new file `vN.sql`."""
CONTRACTS: tuple[int, ...] = ()
"""The numbers of the files `cN.sql`, in their order."""
FUNCTIONS = 10
"""Of the functions: raised with every change to functions.sql, so that an older program does not put its own back."""
_LOCK = 0x746F6C6C67617465
_LIVING = "SELECT count(*), count(*) FILTER (WHERE version < $1) FROM leases WHERE NOT dead AND expires >= gw_clock()"
_SET = "INSERT INTO facts VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


def read_scripts(contracts: Sequence[int] = CONTRACTS) -> dict[str, str]:
    """The texts of all scripts of this package by their names; reads files."""
    names = ["functions.sql", *(f"v{number}.sql" for number in range(1, VERSION + 1))]
    names += (f"c{number}.sql" for number in contracts)
    return {name: files(__package__).joinpath(name).read_text() for name in names}


async def read_facts(connection: asyncpg.Connection[asyncpg.Record]) -> Mapping[str, str]:
    """What the database says of itself; nothing for one without our tables. Raises GatewayFault when the tables are
    somebody else's."""
    if await connection.fetchval("SELECT to_regclass('facts')") is None:
        if await connection.fetchval("SELECT to_regclass('accounts')") is not None:
            raise GatewayFault("This database has tables of another program. Give the gateway one of its own.")
        return {}
    return {row[0]: row[1] for row in await connection.fetch("SELECT name, value FROM facts")}


def _steps(facts: Mapping[str, str], scripts: Mapping[str, str]) -> list[MigrationStep]:
    """What a database lacks, in order."""
    version, least = int(facts.get("version", 0)), int(facts.get("least", 0))
    steps = []
    for number in range(version + 1, VERSION + 1):
        steps.append(MigrationStep("expand", number, _title(scripts[f"v{number}.sql"])))
    for name in scripts:
        if name.startswith("c") and (number := int(name[1:].removesuffix(".sql"))) > least:
            steps.append(MigrationStep("contract", number, _title(scripts[name])))
    return steps


def _title(script: str) -> str:
    """The first sentence of a script's head, without its number."""
    head = " ".join(line.removeprefix("--").strip() for line in script.partition("\n\n")[0].splitlines())
    return head.partition(": ")[2].rstrip(".")


def _refuse_newer(facts: Mapping[str, str]) -> None:
    if int(facts.get("least", 0)) > VERSION:
        raise GatewayFault(
            f"The database needs a gateway that knows version {facts['least']}; this one knows {VERSION}. "
            "Install a newer one."
        )


async def plan(connection: asyncpg.Connection[asyncpg.Record], scripts: Mapping[str, str]) -> MigrationPlan:
    """What there is to do, and who is in the way. Changes nothing."""
    facts = await read_facts(connection)
    _refuse_newer(facts)
    version, steps, living, blocked = int(facts.get("version", 0)), _steps(facts, scripts), 0, ""
    if version:
        needed = max((step.version for step in steps if step.stage == "contract"), default=0)
        if version > 2:
            living, older = await connection.fetchrow(_LIVING, needed) or (0, 0)
        else:
            living = older = await connection.fetchval(
                "SELECT count(*) FROM leases WHERE NOT dead AND expires >= gw_clock()"
            )
        if needed and older:
            blocked = f"{older} running gateways are older than version {needed} and use what would be taken away"
    return MigrationPlan(version, VERSION, steps, living, blocked)


async def migrate(connection: asyncpg.Connection[asyncpg.Record], secret: bytes, scripts: Mapping[str, str]) -> None:
    """Expand the database to the newest shape, one gateway at a time. Raises GatewayFault when it has become too new
    for this program, or belongs to another server secret."""
    mark = hashlib.sha256(derive(secret, DATABASE_MARK)).hexdigest()
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        facts = await read_facts(connection)
        _refuse_newer(facts)
        if facts.get("secret", mark) != mark:
            raise other_secret("this database was")
        for step in _steps(facts, scripts):
            if step.stage == "expand":
                await connection.execute(scripts[f"v{step.version}.sql"], timeout=3600.0)
        version, functions = int(facts.get("version", 0)), int(facts.get("functions", 0))
        if functions < FUNCTIONS:
            await connection.execute(scripts["functions.sql"])
        for name, value in (("version", max(VERSION, version)), ("functions", max(FUNCTIONS, functions)),
                            ("secret", mark)):  # fmt: skip
            await connection.execute(_SET, name, str(value))


async def contract(connection: asyncpg.Connection[asyncpg.Record], scripts: Mapping[str, str]) -> None:
    """Take away what no program uses any more. Raises GatewayFault while one lives that does."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        # An older gateway that would join now waits, and then finds that it may not.
        await connection.execute("LOCK TABLE leases IN SHARE ROW EXCLUSIVE MODE")
        found = await plan(connection, scripts)
        if found.blocked:
            raise GatewayFault(found.blocked)
        for step in found.steps:
            if step.stage == "contract":
                await connection.execute(scripts[f"c{step.version}.sql"], timeout=3600.0)
                await connection.execute(_SET, "least", str(step.version))
