"""The audit log on SQLite. Triggers keep even a mistaken statement from changing or deleting an entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api.stores import AuditEntry
from gateway.sqlite.engine.core import Core
from gateway.sqlite.money.unit_of_work import Names

_ADD = "INSERT INTO audit (at, actor, remote, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)"
_PAGE = """
    SELECT n, at, actor, remote, action, subject, detail FROM audit
    WHERE n < ?1 AND (?3 = '' OR actor = ?3) AND (?4 = '' OR action = ?4) ORDER BY n DESC LIMIT ?2
"""
_PAGE_OF_SUBJECT = """
    SELECT n, at, actor, remote, action, subject, detail FROM audit
    WHERE subject = ?5 AND n < ?1 AND (?3 = '' OR actor = ?3) AND (?4 = '' OR action = ?4) ORDER BY n DESC LIMIT ?2
"""
_BEYOND_ALL = 2**62
_LONGEST_TEXT = 200
_LONGEST_DETAIL = 8_000


class SqliteAudit:
    """`gateway.stores.Audit`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def record(
        self, actor: str, action: str, subject: str, *, remote: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """Add an entry."""
        text = orjson.dumps(dict(detail or {}), default=str)
        if len(text) > _LONGEST_DETAIL:
            text = orjson.dumps({"note": f"the detail had {len(text)} bytes and was not kept"})
        values = (self._core.now(), *(part[:_LONGEST_TEXT] for part in (actor, remote, action, subject)), text.decode())

        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_ADD, values)

        await self._core.write(work)

    async def entries(
        self, *, before: int = 0, limit: int = 100, actor: str = "", action: str = "", subject: str = ""
    ) -> list[AuditEntry]:
        """A page, newest first; by an index where a subject is given."""
        values: tuple[Any, ...] = (before or _BEYOND_ALL, min(max(limit, 1), 1000), actor, action)
        if subject:
            rows = await self._core.reader.rows(_PAGE_OF_SUBJECT, (*values, subject), slow=True)
        else:
            rows = await self._core.reader.rows(_PAGE, values, slow=True)
        return [AuditEntry(row[0], row[1], row[2], row[3], row[4], row[5], orjson.loads(row[6])) for row in rows]
