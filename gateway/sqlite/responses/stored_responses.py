"""State of the Responses API on SQLite: answers that are kept.

A response keeps the items of its own turn only; what it continues is found by following `previous`. So a turn is
written once, however long the chain grows. An expired response stays for as long as one continues it that has not
expired; a deleted one is gone at once, and whatever continued it says so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from gateway.api import Refusal
from gateway.api.stores import Chain, StoredResponse, Turn
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.money.unit_of_work import Names
from gateway.sqlite.responses.conversations import append_items, encoded, too_large

_ADD = """
    INSERT INTO responses (id, account, status, created, expires, previous, process, background, request_id, size,
        input, response, output, events)
    SELECT ?1, a.n, ?3, ?4, ?5,
        CASE WHEN ?6 = '' THEN NULL ELSE coalesce((SELECT n FROM responses WHERE id = ?6 AND account = a.n), -1) END,
        ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14
    FROM accounts AS a WHERE a.id = ?2
"""
_END = """
    UPDATE responses SET status = ?2, process = NULL, size = ?3, response = ?4, output = ?5, events = ?6
    WHERE id = ?1 AND process IS NOT NULL
"""
_GET = """
    SELECT r.id, a.id, r.status, r.created, r.expires, r.request_id, r.input, r.response, r.output,
        coalesce(p.id, ''), r.background, r.process IS NOT NULL, coalesce(r.events, x'')
    FROM responses AS r JOIN accounts AS a ON a.n = r.account LEFT JOIN responses AS p ON p.n = r.previous
    WHERE r.id = ?1 AND a.id = ?2 AND r.expires >= ?3
"""
_DELETE = """
    DELETE FROM responses WHERE id = ?1 AND account = (SELECT n FROM accounts WHERE id = ?2) AND expires >= ?3
"""
_CHAIN_SIZES = """
    WITH RECURSIVE chain (n, previous, size) AS (
        SELECT r.n, r.previous, r.size FROM responses AS r JOIN accounts AS a ON a.n = r.account
        WHERE r.id = ?1 AND a.id = ?2 AND r.expires >= ?3
        UNION ALL
        SELECT r.n, r.previous, r.size FROM chain AS c JOIN responses AS r ON r.n = c.previous
    )
    SELECT sum(size), count(*) FROM chain
"""
_CHAIN = """
    WITH RECURSIVE chain (n, previous, depth) AS (
        SELECT r.n, r.previous, 0 FROM responses AS r JOIN accounts AS a ON a.n = r.account
        WHERE r.id = ?1 AND a.id = ?2 AND r.expires >= ?3
        UNION ALL
        SELECT r.n, r.previous, c.depth + 1 FROM chain AS c JOIN responses AS r ON r.n = c.previous
    )
    SELECT r.id, r.status, r.input, r.output, r.previous FROM chain AS c JOIN responses AS r ON r.n = c.n
    ORDER BY c.depth DESC
"""
_RECENT = """
    SELECT r.n, r.size FROM accounts AS a CROSS JOIN responses AS r ON r.account = a.n
    WHERE a.id = ?1 AND r.expires >= ?2 ORDER BY r.n DESC LIMIT ?3
"""
_ITEMS = "SELECT input, output FROM responses WHERE n = ?"
_ASK = """
    UPDATE responses SET cancelled = 1
    WHERE id = ?1 AND account = (SELECT n FROM accounts WHERE id = ?2) AND process IS NOT NULL
"""
_ASKED = "SELECT id FROM responses WHERE process = ? AND cancelled = 1"
_ORPHANS = """
    SELECT n, response FROM responses WHERE process = ? LIMIT ?
"""
_BURY = "UPDATE responses SET status = 'failed', process = NULL, response = ? WHERE n = ?"
# Continued means: another one names it as its `previous`. That one goes first, and this one with the next round.
_PRUNE = """
    DELETE FROM responses WHERE n IN (
        SELECT r.n FROM responses AS r
        WHERE r.expires < ?1 AND r.process IS NULL AND NOT EXISTS (SELECT 1 FROM responses AS c WHERE c.previous = r.n)
        ORDER BY r.expires LIMIT ?2
    )
"""
_AT_ONCE = 500
_MOST_SEARCHED, _MOST_READ = 200, 32 << 20
_SMALL = 1 << 16
"""Bytes that take no time worth a thread."""


class SqliteResponses:
    """`gateway.stores.Responses`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def save(self, response: StoredResponse, *, most: int) -> None:
        """One transaction for the response and its conversation."""
        r = response
        output = list(r.response["output"])
        blobs = (
            orjson.dumps(list(r.input)),
            orjson.dumps({key: value for key, value in r.response.items() if key != "output"}),
            orjson.dumps(output),
        )
        size = sum(len(blob) for blob in blobs)
        if size > most:
            raise Refusal(
                f"The response and its input make {size} bytes; at most {most} are kept (responses.max_stored).",
                status=400,
                code="response_too_large",
            )
        ends = r.background and not r.running
        grown = []
        if r.conversation_id and not r.running:
            grown = encoded(r.items)
        process = self._core.process if r.running else None

        def work(connection: sqlite3.Connection, _: Names) -> None:
            if ends:
                connection.execute(_END, (r.id, r.status, size, blobs[1], blobs[2], r.events or None))
            else:
                values = (
                    r.id, r.account_id, r.status, r.created, r.expires, r.previous_id, process, r.background,
                    r.request_id, size, *blobs, r.events or None,
                )  # fmt: skip
                connection.execute(_ADD, values)
            if grown:
                append_items(connection, r.account_id, r.conversation_id, grown, r.expires)

        await self._core.write(work, beside=True)

    async def get(self, account_id: str, response_id: str) -> StoredResponse | None:
        """One row, unless it is another account's or over."""
        row = await self._core.reader.row(_GET, (response_id, account_id, self._core.now()))
        if row is None:
            return None
        small = len(row[6]) + len(row[8]) < _SMALL
        return _response(row) if small else await self._core.apart(partial(_response, row))

    async def delete(self, account_id: str, response_id: str) -> bool:
        """One row; what continued it keeps its number."""
        values = (response_id, account_id, self._core.now())

        def work(connection: sqlite3.Connection, _: Names) -> bool:
            return connection.execute(_DELETE, values).rowcount > 0

        return await self._core.write(work)

    async def chain(self, account_id: str, response_id: str, *, most: int) -> Chain | None:
        """Sizes first, then the rows, both by one recursive query."""
        values = (response_id, account_id, self._core.now())
        size, count = (await self._core.reader.rows(_CHAIN_SIZES, values))[0]
        if count and size > most:
            raise too_large(most)
        rows = await self._core.reader.rows(_CHAIN, values, slow=size > 1 << 20) if count else []
        if not rows:
            return None
        turns = _turns(rows) if size < _SMALL else await self._core.apart(partial(_turns, rows))
        return Chain(turns, lost=rows[0][4] is not None)

    async def find_items(self, account_id: str, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Reads the account's recent responses, newest first, each once for all ids: so many of them at most, and so
        many bytes."""
        found: dict[str, Mapping[str, Any]] = {}
        wanted = set(item_ids)
        read = 0
        for number, size in await self._core.reader.rows(_RECENT, (account_id, self._core.now(), _MOST_SEARCHED)):
            read += size
            if not wanted or (read > _MOST_READ and size < read):
                break
            row = await self._core.reader.row(_ITEMS, (number,))
            if row is not None:
                items = _named(row, wanted) if size < _SMALL else await self._core.apart(partial(_named, row, wanted))
                found.update(items)
                wanted -= items.keys()
        return found

    async def ask_to_cancel(self, account_id: str, response_id: str) -> None:
        """A mark in the row, which its process looks for."""

        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_ASK, (response_id, account_id))

        await self._core.write(work)

    async def asked_to_cancel(self) -> list[str]:
        """By the index of running responses."""
        return [row[0] for row in await self._core.reader.rows(_ASKED, (self._core.process,))]

    async def fail_over(self, lease: str, error: Mapping[str, Any]) -> int:
        """End the running responses of a dead lease as failed, in pieces."""
        process = int(lease)

        def work(connection: sqlite3.Connection, _: Names) -> int:
            rows = connection.execute(_ORPHANS, (process, _AT_ONCE)).fetchall()
            for number, raw in rows:
                response = {**orjson.loads(raw), "status": "failed", "error": dict(error)}
                connection.execute(_BURY, (orjson.dumps(response), number))
            return len(rows)

        # Most of the time there are none, and then the disk need not be asked for anything.
        if not await self._core.reader.rows(_ORPHANS, (process, 1)):
            return 0
        failed = 0
        while done := await self._core.write(work):
            failed += done
        return failed

    async def prune(self, now: int) -> int:
        """In pieces."""
        return await self._core.drop(_PRUNE, now, _AT_ONCE)


def _turns(rows: Sequence[Row]) -> list[Turn]:
    return [Turn(row[0], row[1], orjson.loads(row[2]), orjson.loads(row[3])) for row in rows]


def _named(row: Row, wanted: set[str]) -> dict[str, Mapping[str, Any]]:
    """Those of the items of one response that are wanted, by their ids."""
    return {
        item["id"]: item
        for items in row
        for item in orjson.loads(items)
        if isinstance(item.get("id"), str) and item["id"] in wanted
    }


def _response(row: Row) -> StoredResponse:
    response = orjson.loads(row[7])
    return StoredResponse(
        id=row[0],
        account_id=row[1],
        status=row[2],
        created=row[3],
        expires=row[4],
        request_id=row[5],
        input=orjson.loads(row[6]),
        response={**response, "output": orjson.loads(row[8])},
        previous_id=row[9],
        background=bool(row[10]),
        running=bool(row[11]),
        events=row[12],
    )
