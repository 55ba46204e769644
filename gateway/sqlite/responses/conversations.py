"""Conversations of the Responses API on SQLite: a list of items that grows with every turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.api import Refusal
from gateway.api.stores import StoredConversation, random_text
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.money.unit_of_work import Names

_ADD = """
    INSERT INTO conversations (id, account, created, expires, metadata)
    SELECT ?, n, ?, ?, ? FROM accounts WHERE id = ?
"""
_FIND = """
    SELECT c.id, a.id, c.created, c.expires, c.metadata
    FROM conversations AS c JOIN accounts AS a ON a.n = c.account WHERE c.id = ? AND a.id = ?
"""
_NUMBER = """
    SELECT c.n FROM conversations AS c JOIN accounts AS a ON a.n = c.account WHERE c.id = ? AND a.id = ?
"""
_SET_METADATA = "UPDATE conversations SET metadata = ? WHERE n = ?"
_SET_EXPIRES = "UPDATE conversations SET expires = max(expires, ?) WHERE n = ?"
_DROP_ITEMS = "DELETE FROM conversation_items WHERE conversation = ?"
_DROP = "DELETE FROM conversations WHERE n = ?"
_DROP_ITEM = "DELETE FROM conversation_items WHERE conversation = ? AND id = ?"
_COUNT = "SELECT count(*) FROM conversation_items WHERE conversation = ?"
_ADD_ITEM = """
    INSERT INTO conversation_items (conversation, id, item) VALUES (?, ?, ?)
    ON CONFLICT (conversation, id) DO UPDATE SET item = excluded.item
"""
_SIZE = """
    SELECT c.n, (SELECT coalesce(sum(length(i.item)), 0) FROM conversation_items AS i WHERE i.conversation = c.n)
    FROM conversations AS c JOIN accounts AS a ON a.n = c.account WHERE c.id = ? AND a.id = ?
"""
_ITEMS = "SELECT item FROM conversation_items WHERE conversation = ? ORDER BY n"
_EXPIRED = "SELECT n FROM conversations WHERE expires < ? LIMIT ?"
_PRUNE_AT_ONCE = 100
_SMALL = 1 << 16
"""Bytes that take no time worth a thread."""


def too_large(most: int) -> Refusal:
    """The fault of a conversation that has outgrown the limit; most: bytes."""
    return Refusal(
        f"The conversation so far is larger than {most} bytes (responses.max_context); begin a new one.",
        status=400,
        code="context_too_large",
        param="input",
    )


def append_items(
    connection: sqlite3.Connection, account_id: str, conversation_id: str, items: Sequence[tuple[str, bytes]], end: int
) -> bool:
    """Append encoded items, inside the writer's transaction; False when there is no such conversation."""
    row = connection.execute(_NUMBER, (conversation_id, account_id)).fetchone()
    if row is None:
        return False
    connection.executemany(_ADD_ITEM, [(row[0], item_id, data) for item_id, data in items])
    connection.execute(_SET_EXPIRES, (end, row[0]))
    return True


def encoded(items: Sequence[Mapping[str, Any]]) -> list[tuple[str, bytes]]:
    """Items as (id, JSON); an item without an id gets one of its own."""
    return [(str(item.get("id") or "item_" + random_text(24)), orjson.dumps(item)) for item in items]


class SqliteConversations:
    """`gateway.stores.Conversations`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create_conversation(
        self, account_id: str, metadata: Mapping[str, str], items: Sequence[Mapping[str, Any]], *, expires: int
    ) -> StoredConversation:
        """Row and first items in one transaction."""
        conversation_id = "conv_" + random_text(32)
        now = self._core.now()
        rows = encoded(items)
        values = (conversation_id, now, expires, orjson.dumps(dict(metadata)).decode(), account_id)

        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_ADD, values)
            append_items(connection, account_id, conversation_id, rows, expires)

        await self._core.write(work)
        return StoredConversation(conversation_id, account_id, now, expires, dict(metadata))

    async def get_conversation(self, account_id: str, conversation_id: str) -> StoredConversation | None:
        """One row."""
        row = await self._core.reader.row(_FIND, (conversation_id, account_id))
        return None if row is None else _conversation(row)

    async def update_conversation(
        self, account_id: str, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        """Replace the metadata."""
        text = orjson.dumps(dict(metadata)).decode()

        def work(connection: sqlite3.Connection, _: Names) -> StoredConversation | None:
            found = connection.execute(_NUMBER, (conversation_id, account_id)).fetchone()
            if found is None:
                return None
            connection.execute(_SET_METADATA, (text, found[0]))
            return _conversation(connection.execute(_FIND, (conversation_id, account_id)).fetchone())

        return await self._core.write(work)

    async def delete_conversation(self, account_id: str, conversation_id: str) -> bool:
        """The items, then the row."""

        def work(connection: sqlite3.Connection, _: Names) -> bool:
            found = connection.execute(_NUMBER, (conversation_id, account_id)).fetchone()
            if found is None:
                return False
            connection.execute(_DROP_ITEMS, (found[0],))
            connection.execute(_DROP, (found[0],))
            return True

        return await self._core.write(work)

    async def conversation_items(
        self, account_id: str, conversation_id: str, *, most: int
    ) -> Sequence[Mapping[str, Any]] | None:
        """Their size is asked first, so that too large ones are never read."""
        row = await self._core.reader.row(_SIZE, (conversation_id, account_id))
        if row is None:
            return None
        if row[1] > most:
            raise too_large(most)
        items = await self._core.reader.rows(_ITEMS, (row[0],), slow=True)
        if row[1] < _SMALL:
            return _read(items)
        return await self._core.apart(lambda: _read(items))

    async def add_items(
        self, account_id: str, conversation_id: str, items: Sequence[Mapping[str, Any]], *, most: int
    ) -> bool:
        """Counted and appended in one transaction."""
        rows = encoded(items)

        def work(connection: sqlite3.Connection, _: Names) -> bool:
            found = connection.execute(_NUMBER, (conversation_id, account_id)).fetchone()
            if found is None:
                return False
            if connection.execute(_COUNT, (found[0],)).fetchone()[0] + len(rows) > most:
                raise Refusal(
                    f"The conversation would have more than {most} items (responses.max_items).",
                    status=400,
                    code="too_many_items",
                    param="items",
                )
            return append_items(connection, account_id, conversation_id, rows, 0)

        return await self._core.write(work)

    async def delete_item(self, account_id: str, conversation_id: str, item_id: str) -> bool:
        """One row."""

        def work(connection: sqlite3.Connection, _: Names) -> bool:
            found = connection.execute(_NUMBER, (conversation_id, account_id)).fetchone()
            return found is not None and connection.execute(_DROP_ITEM, (found[0], item_id)).rowcount > 0

        return await self._core.write(work)

    async def prune_conversations(self, now: int) -> int:
        """Delete conversations that expired; returns how many."""

        def work(connection: sqlite3.Connection, _: Names) -> int:
            expired = connection.execute(_EXPIRED, (now, _PRUNE_AT_ONCE)).fetchall()
            for (number,) in expired:
                connection.execute(_DROP_ITEMS, (number,))
                connection.execute(_DROP, (number,))
            return len(expired)

        gone = 0
        while done := await self._core.write(work):
            gone += done
        return gone


def _read(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    return [orjson.loads(row[0]) for row in rows]


def _conversation(row: Row) -> StoredConversation:
    return StoredConversation(row[0], row[1], row[2], row[3], orjson.loads(row[4]))
