"""What accounts keep at providers, on SQLite."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson

from gateway.api import Refusal
from gateway.api.stores import KeptObject, ObjectKind, no_account
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.money.unit_of_work import Names

_ADD = """
    INSERT INTO objects (id, account, provider, kind, size, created, details, is_open)
    SELECT ?2, n, ?3, ?4, ?5, ?6, ?7, ?8 FROM accounts WHERE id = ?1
    ON CONFLICT (provider, id) DO NOTHING
"""
_OWNER = """
    SELECT a.id FROM objects AS o JOIN accounts AS a ON a.n = o.account WHERE o.provider = ? AND o.id = ?
"""
_FIND = """
    SELECT o.id, a.id, o.provider, o.kind, o.size, o.created, o.details, o.is_open, o.n
    FROM accounts AS a CROSS JOIN objects AS o ON o.account = a.n
    WHERE a.id = ?1 AND o.kind = ?2 AND o.id = ?3 ORDER BY o.n LIMIT 1
"""
_OWNS = """
    SELECT 1 FROM objects AS o JOIN accounts AS a ON a.n = o.account
    WHERE o.provider = ?2 AND o.id = ?4 AND o.kind = ?3 AND a.id = ?1
"""
_LIST = """
    SELECT o.id, a.id, o.provider, o.kind, o.size, o.created, o.details, o.is_open, o.n
    FROM accounts AS a CROSS JOIN objects AS o ON o.account = a.n
    WHERE a.id = ?1 AND (?2 IS NULL OR o.kind = ?2) AND o.n < ?3 ORDER BY o.n DESC LIMIT ?4
"""
_OPEN = """
    SELECT o.id, a.id, o.provider, o.kind, o.size, o.created, o.details, o.is_open, o.n
    FROM objects AS o JOIN accounts AS a ON a.n = o.account WHERE o.is_open = 1 AND o.n > ? ORDER BY o.n LIMIT ?
"""
_CHANGE = "UPDATE objects SET size = ?3, details = ?4, is_open = ?5 WHERE provider = ?1 AND id = ?2"
_REMOVE = """
    DELETE FROM objects WHERE provider = ?2 AND id = ?3 AND account = (SELECT n FROM accounts WHERE id = ?1)
"""
_BEYOND_ALL = 2**62


def _object(row: Row) -> KeptObject:
    return KeptObject(row[0], row[1], row[2], row[3], row[4], row[5], orjson.loads(row[6]), bool(row[7]), row[8])


def _details(kept: KeptObject) -> str:
    return orjson.dumps(dict(kept.details)).decode()


class SqliteObjects:
    """`gateway.stores.Objects`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def add_object(self, kept: KeptObject) -> None:
        """The first account that names an id at a provider has it."""
        values = (
            kept.account_id, kept.id, kept.provider, kept.kind, kept.size, kept.created, _details(kept),
            int(kept.is_open),
        )  # fmt: skip

        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_ADD, values)
            owner = connection.execute(_OWNER, (kept.provider, kept.id)).fetchone()
            if owner is None:
                raise no_account()
            if owner[0] != kept.account_id:
                raise Refusal("This object belongs to another account.", status=409, code="object_taken")

        await self._core.write(work, beside=True)

    async def find_object(self, account_id: str, kind: ObjectKind, object_id: str) -> KeptObject | None:
        """By the account's index."""
        row = await self._core.reader.row(_FIND, (account_id, kind, object_id))
        return None if row is None else _object(row)

    async def owns_object(self, account_id: str, provider: str, kind: ObjectKind, object_id: str) -> bool:
        """By the provider's index."""
        return await self._core.reader.row(_OWNS, (account_id, provider, kind, object_id)) is not None

    async def list_objects(
        self, account_id: str, kind: ObjectKind | None = None, *, before: int = 0, limit: int = 100
    ) -> list[KeptObject]:
        """A page, newest first."""
        values = (account_id, kind, before or _BEYOND_ALL, min(max(limit, 1), 1000))
        return [_object(row) for row in await self._core.reader.rows(_LIST, values, slow=True)]

    async def open_objects(self, *, after: int = 0, limit: int = 100) -> list[KeptObject]:
        """By an index of the open ones alone."""
        rows = await self._core.reader.rows(_OPEN, (after, min(max(limit, 1), 1000)), slow=True)
        return [_object(row) for row in rows]

    async def change_object(self, kept: KeptObject) -> bool:
        """One row."""
        return await self._run(_CHANGE, (kept.provider, kept.id, kept.size, _details(kept), int(kept.is_open)))

    async def remove_object(self, account_id: str, provider: str, object_id: str) -> bool:
        """One row."""
        return await self._run(_REMOVE, (account_id, provider, object_id))

    async def _run(self, sql: str, values: tuple[Any, ...]) -> bool:
        def work(connection: sqlite3.Connection, _: Names) -> bool:
            return connection.execute(sql, values).rowcount > 0

        return await self._core.write(work, beside=True)
