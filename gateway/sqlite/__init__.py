"""The store that comes with the gateway: everything in one SQLite file, safe for many processes of one machine.

A plugin like any other (`register_stores`), which imports nothing of the gateway but `gateway.api`. How it works:
`engine.writer` (one writing thread per process, group commit), `money.unit_of_work` (the rows of one transaction),
`money.operations` (what can happen to a hold), `engine.presence` (who is alive), `money.recovery`, `money.check`.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.api import hookimpl
from gateway.api.stores import StoresKind
from gateway.sqlite.database import SqliteStores, backup_database, open_stores
from gateway.sqlite.kind import SqliteKind
from gateway.sqlite.money.check import check_database

__all__ = ["SqliteKind", "SqliteStores", "backup_database", "check_database", "open_stores"]


@hookimpl
def register_stores(register: Callable[[StoresKind], None]) -> None:
    """Offer `sqlite://`."""
    register(SqliteKind())
