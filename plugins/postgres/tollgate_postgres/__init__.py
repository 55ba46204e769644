"""PostgreSQL as the store: any number of gateways on one ledger.

How it works: `engine` (connections, what becomes of failures), `lanes` (group commit: one round trip and one
transaction for a batch), `schema/functions.sql` (what happens to money, inside the database), `presence` (leases by the
database's clock), and one module for each protocol of `gateway.stores`.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.api import hookimpl
from gateway.api.stores import StoresKind
from tollgate_postgres.kind import PostgresKind

__all__ = ["PostgresKind"]


@hookimpl
def register_stores(register: Callable[[StoresKind], None]) -> None:
    """Offer `postgresql://` and `postgres://`."""
    register(PostgresKind())
