"""Accounts, keys, the ledger and the usage log on one SQLite file, safe for many processes.

`open_stores` gives the stores of `gateway.stores`. How it works: `writer` (one writing thread per process, group
commit), `book` (the rows of one transaction), `operations` (what can happen to a hold), `recovery`, `check`.
"""

from __future__ import annotations

from gateway.sqlite.database import SqliteStores, backup_database, open_stores
from gateway.sqlite.money.check import check_database

__all__ = ["SqliteStores", "backup_database", "check_database", "open_stores"]
