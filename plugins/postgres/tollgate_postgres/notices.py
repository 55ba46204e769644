"""Words between gateways, in a table with one row for each subject: few rows, so that all of them are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tollgate_postgres.engine import Database
from tollgate_postgres.presence import PostgresPresence

_POST = """
    INSERT INTO notices (name, n, lease, data, expires)
    VALUES ($1, nextval('notice_numbers'), $2, $3, gw_clock() + $4)
    ON CONFLICT (name) DO UPDATE SET n = excluded.n, lease = excluded.lease, data = excluded.data,
        expires = excluded.expires
"""
_HEARD = """
    SELECT name, n, data, expires - gw_clock() FROM notices WHERE lease <> $1 AND expires > gw_clock() ORDER BY n
"""
_PRUNE = "DELETE FROM notices WHERE expires < gw_clock()"


class PostgresNotices:
    """`gateway.stores.Notices`."""

    def __init__(self, database: Database, presence: PostgresPresence) -> None:
        self._database = database
        self._presence = presence
        self._known: dict[str, int] = {}

    async def post(self, name: str, data: Mapping[str, Any], seconds: float) -> None:
        """One row; the last one of this name counts."""
        await self._database.execute(_POST, name, self._presence.lease.id, dict(data), seconds)

    async def heard(self) -> Sequence[tuple[Mapping[str, Any], float]]:
        """By number, not by time: a row that is committed late is not missed."""
        rows = await self._database.rows(_HEARD, self._presence.lease.id)
        fresh = [(row[2], row[3]) for row in rows if self._known.get(row[0]) != row[1]]
        self._known = {row[0]: row[1] for row in rows}
        return fresh

    async def prune(self) -> None:
        """Drop what is over."""
        await self._database.execute(_PRUNE)
