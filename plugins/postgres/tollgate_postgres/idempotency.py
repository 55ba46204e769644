"""Requests with an `Idempotency-Key`: the answer is there for the same request at another gateway."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.api.stores import Claim, KeptAnswer, no_account
from tollgate_postgres.engine import REPORT_WITHIN, Database
from tollgate_postgres.presence import PostgresPresence

if TYPE_CHECKING:
    import asyncpg

_ROW = "SELECT body, request_id, expires, lease, status, running FROM gw_answers WHERE name = $1"
_PRUNE = """
    DELETE FROM answers WHERE name IN
        (SELECT name FROM gw_answers WHERE expires <= $1 AND NOT running ORDER BY expires LIMIT 500)
"""
_ADD = """
    INSERT INTO answers AS r (name, account, body, request_id, expires, lease)
    SELECT $1, n, $2, $3, $4, $5 FROM accounts WHERE id = $6
"""
_TAKE = """
    UPDATE answers SET body = $2, request_id = $3, expires = $4, lease = $5, status = NULL, headers = NULL,
        content = NULL, account = (SELECT n FROM accounts WHERE id = $6)
    WHERE name = $1
"""
_REFUND = """
    SELECT gw_post(h.account, 7, gw_left(h), 0, 0, $2, h, 0, 'rerun:' || h.request_id, '')
    FROM holds AS h WHERE h.request_id = $1 AND h.state = 1 AND gw_left(h) > 0
"""
_LOCK = (
    "SELECT a.n FROM accounts AS a JOIN holds AS h ON h.account = a.n WHERE h.request_id = $1 FOR NO KEY UPDATE OF a"
)


class PostgresIdempotency:
    """`gateway.stores.Idempotency`."""

    def __init__(self, database: Database, presence: PostgresPresence) -> None:
        self._database = database
        self._presence = presence

    async def claim(self, name: bytes, body: bytes, request_id: str, account_id: str, expires: int) -> Claim:
        """Under a lock on the name, which is there before there is a row."""
        own, now = self._presence.lease.id, self._database.now()
        lock = int.from_bytes(name[:8], "big", signed=True)

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> Claim:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock)
            row = await connection.fetchrow(_ROW, name)
            if row is not None and (row["expires"] > now or row["running"]):
                if row["body"] != body:
                    return Claim("conflict", row["request_id"])
                if row["status"] is not None:
                    return Claim("answered" if row["status"] else "too_large", row["request_id"])
                if row["running"] and row["lease"] != own:
                    return Claim("running", row["request_id"])
                await connection.fetchval(_LOCK, row["request_id"])
                await connection.fetchval(_REFUND, row["request_id"], now)
            values = (name, body, request_id, expires, own, account_id)
            done = await connection.execute(_ADD if row is None else _TAKE, *values)
            if done.endswith(" 0"):
                raise no_account()
            return Claim("ours", request_id)

        return await self._database.transaction(work)

    async def is_running(self, name: bytes) -> bool:
        """In a process that was not taken for dead."""
        return bool(await self._database.value("SELECT running FROM gw_answers WHERE name = $1", name))

    async def get(self, name: bytes) -> KeptAnswer | None:
        """What was kept."""
        row = await self._database.row(
            "SELECT request_id, status, headers, content FROM answers WHERE name = $1 AND status > 0 AND expires > $2",
            name, self._database.now(),
        )  # fmt: skip
        return None if row is None else KeptAnswer(row[0], row[1], row[2], zlib.decompress(row[3]))

    async def finish(
        self, name: bytes, request_id: str, *, status: int, headers: Mapping[str, str], body: bytes, expires: int
    ) -> None:
        """The end of this attempt."""
        await self._database.execute(
            "UPDATE answers SET lease = NULL, status = $3, headers = $4, content = $5, expires = $6 "
            "WHERE name = $1 AND request_id = $2",
            name, request_id, status, dict(headers), zlib.compress(body, 1), expires,
        )  # fmt: skip

    async def drop(self, name: bytes, request_id: str) -> None:
        """Free again."""
        await self._database.execute(
            "DELETE FROM answers WHERE name = $1 AND request_id = $2 AND status IS NULL", name, request_id
        )

    async def break_off(self, name: bytes, request_id: str) -> None:
        """Nobody runs it."""
        await self._database.execute(
            "UPDATE answers SET lease = NULL WHERE name = $1 AND request_id = $2 AND status IS NULL", name, request_id
        )

    async def prune(self, now: int) -> int:
        """In pieces."""
        gone = 0
        while done := await self._database.execute(_PRUNE, now, within=REPORT_WITHIN):
            gone += done
        return gone
