"""`postgresql://user:password@host/database`: the kind of store."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.api import GatewayFault, later
from gateway.api.stores import MigrationPlan, Stores, StoresSettings

if TYPE_CHECKING:
    from tollgate_postgres.opened import migrate_stores, open_stores, plan_stores
else:
    open_stores = later("tollgate_postgres.opened:open_stores")
    plan_stores = later("tollgate_postgres.opened:plan_stores")
    migrate_stores = later("tollgate_postgres.opened:migrate_stores")

USE_ITS_TOOLS = "use the tools of PostgreSQL for this (pg_dump, pg_restore), and keep the server secret beside the dump"


class PostgresKind:
    """`gateway.stores.StoresKind` for PostgreSQL and what speaks its protocol. What it opens is imported then."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """`postgresql` and `postgres`"""
        return ("postgresql", "postgres")

    def check(self, url: str) -> str:
        """A database must be named."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            return "must be a URL such as postgresql://user:password@host:5432/gateway"
        if not parts.path.strip("/"):
            return "must name a database after the host, such as postgresql://user:password@host/gateway"
        return ""

    async def open(self, url: str, settings: StoresSettings) -> Stores:
        """Connect, bring the tables to their newest shape, take a lease."""
        return await open_stores(url, settings)

    async def plan(self, url: str, settings: StoresSettings) -> MigrationPlan:
        """Read only."""
        return await plan_stores(url, settings)

    async def migrate(self, url: str, settings: StoresSettings) -> MigrationPlan:
        """Expanded as by opening it; then contracted."""
        return await migrate_stores(url, settings)

    async def restore(self, url: str, data: str, source: str, *, replace: bool, secret: bytes | None = None) -> str:
        """PostgreSQL's own tools do it."""
        raise GatewayFault(f"a PostgreSQL database is not restored by the gateway; {USE_ITS_TOOLS}")
