"""What accounts keep at providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.api import Refusal
from gateway.api.stores import KeptObject, ObjectKind, no_account
from tollgate_postgres.engine import Database

if TYPE_CHECKING:
    import asyncpg

_ADD = """
    INSERT INTO objects (id, account, provider, kind, kept, created, details, is_open)
    SELECT $2, n, $3, $4, $5, $6, $7::text::json, $8 FROM accounts WHERE id = $1
    ON CONFLICT (provider, id) DO NOTHING
"""
_OWNER = "SELECT account FROM gw_objects WHERE provider = $1 AND id = $2"
_FIND = "SELECT * FROM gw_objects WHERE account = $1 AND kind = $2 AND id = $3 ORDER BY n LIMIT 1"
_OWNS = "SELECT 1 FROM gw_objects WHERE account = $1 AND provider = $2 AND kind = $3 AND id = $4"
_LIST = """
    SELECT * FROM gw_objects WHERE account = $1 AND ($2::text IS NULL OR kind = $2) AND ($3 = 0 OR n < $3)
    ORDER BY n DESC LIMIT $4
"""
_OPEN = "SELECT * FROM gw_objects WHERE is_open AND n > $1 ORDER BY n LIMIT $2"
_CHANGE = "UPDATE objects SET kept = $3, details = $4::text::json, is_open = $5 WHERE provider = $1 AND id = $2"
_REMOVE = """
    DELETE FROM objects WHERE provider = $2 AND id = $3 AND account = (SELECT n FROM accounts WHERE id = $1)
"""


def _object(row: asyncpg.Record) -> KeptObject:
    return KeptObject(row[0], row[1], row[2], row[3], row[4], row[5], _read(row[6]), row[7], row[8])


def _read(details: Any) -> Any:
    return orjson.loads(details) if isinstance(details, str) else details


def _details(kept: KeptObject) -> str:
    return orjson.dumps(dict(kept.details)).decode()


class PostgresObjects:
    """`gateway.stores.Objects`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_object(self, kept: KeptObject) -> None:
        """The first account that names an id at a provider has it."""
        await self._database.execute(
            _ADD, kept.account_id, kept.id, kept.provider, kept.kind, kept.size, kept.created, _details(kept),
            kept.is_open,
        )  # fmt: skip
        owner = await self._database.value(_OWNER, kept.provider, kept.id)
        if owner is None:
            raise no_account()
        if owner != kept.account_id:
            raise Refusal("This object belongs to another account.", status=409, code="object_taken")

    async def find_object(self, account_id: str, kind: ObjectKind, object_id: str) -> KeptObject | None:
        """The first of that id."""
        row = await self._database.row(_FIND, account_id, kind, object_id)
        return None if row is None else _object(row)

    async def owns_object(self, account_id: str, provider: str, kind: ObjectKind, object_id: str) -> bool:
        """By the provider's index."""
        return await self._database.value(_OWNS, account_id, provider, kind, object_id) is not None

    async def list_objects(
        self, account_id: str, kind: ObjectKind | None = None, *, before: int = 0, limit: int = 100
    ) -> list[KeptObject]:
        """Newest first."""
        rows = await self._database.rows(_LIST, account_id, kind, before, min(max(limit, 1), 1000))
        return [_object(row) for row in rows]

    async def open_objects(self, *, after: int = 0, limit: int = 100) -> list[KeptObject]:
        """By an index of the open ones alone."""
        return [_object(row) for row in await self._database.rows(_OPEN, after, min(max(limit, 1), 1000))]

    async def change_object(self, kept: KeptObject) -> bool:
        """One row."""
        values = (kept.provider, kept.id, kept.size, _details(kept), kept.is_open)
        return await self._database.execute(_CHANGE, *values) > 0

    async def remove_object(self, account_id: str, provider: str, object_id: str) -> bool:
        """One row."""
        return await self._database.execute(_REMOVE, account_id, provider, object_id) > 0
