"""Answers to requests with an `Idempotency-Key`, on SQLite.

One row per key, made before the request runs, so that of many processes one runs it. A row whose process died, or
whose answer broke off for a reason of ours, is taken over by the next one who asks; what the broken attempt was charged
is given back in the same transaction, so that the request costs once in total.
"""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from collections.abc import Mapping

import orjson

from gateway.api import GatewayFault
from gateway.api.stores import Claim, KeptAnswer
from gateway.sqlite.engine.core import Core
from gateway.sqlite.money.rows import SETTLED
from gateway.sqlite.money.unit_of_work import Names, UnitOfWork

_FIND = """
    SELECT body, request_id, expires, status, process, process IN (SELECT n FROM processes) FROM answers WHERE name = ?
"""
_FORGET = "DELETE FROM answers WHERE name = ?"
_ADD = """
    INSERT INTO answers (name, account, body, request_id, expires, process)
    SELECT ?1, n, ?3, ?4, ?5, ?6 FROM accounts WHERE id = ?2
"""
_TAKE_OVER = "UPDATE answers SET request_id = ?2, expires = ?3, process = ?4 WHERE name = ?1"
_RUNS = """
    SELECT 1 FROM answers WHERE name = ? AND status IS NULL AND process IN (SELECT n FROM processes)
"""
_FINISH = """
    UPDATE answers SET process = NULL, status = ?3, headers = ?4, content = ?5, expires = ?6
    WHERE name = ?1 AND request_id = ?2
"""
_DROP = "DELETE FROM answers WHERE name = ? AND request_id = ? AND status IS NULL"
_BREAK_OFF = "UPDATE answers SET process = NULL WHERE name = ? AND request_id = ? AND status IS NULL"
_GET = "SELECT request_id, status, headers, content FROM answers WHERE name = ? AND status > 0 AND expires > ?"
_PRUNE = """
    DELETE FROM answers WHERE n IN (
        SELECT n FROM answers
        WHERE expires <= ?1 AND (process IS NULL OR process NOT IN (SELECT n FROM processes)) LIMIT ?2)
"""
_AT_ONCE = 200
# Compressing more than this takes long enough to be done aside.
_SMALL = 1 << 16


class SqliteIdempotency:
    """`gateway.stores.Idempotency`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def claim(self, name: bytes, body: bytes, request_id: str, account_id: str, expires: int) -> Claim:
        """One transaction of the writer's decides."""
        core = self._core
        now = core.now()

        def work(connection: sqlite3.Connection, names: Names) -> Claim:
            row = connection.execute(_FIND, (name,)).fetchone()
            if row is not None and row[2] <= now and not row[5]:
                connection.execute(_FORGET, (name,))
                row = None
            if row is None:
                added = connection.execute(_ADD, (name, account_id, body, request_id, expires, core.process))
                if added.rowcount != 1:
                    raise GatewayFault("The account of this key is unknown.")
                return Claim("ours", request_id)
            stored, earlier, _, status, process, alive = row
            if stored != body:
                return Claim("conflict", earlier)
            if status is not None:
                return Claim("answered" if status else "too_large", earlier)
            if alive and process != core.process:
                return Claim("running", earlier)
            _give_back(connection, names, earlier, now)
            connection.execute(_TAKE_OVER, (name, request_id, expires, core.process))
            return Claim("ours", request_id)

        return await core.write(work)

    async def is_running(self, name: bytes) -> bool:
        """Whether the row's process is in the table of processes."""
        return await self._core.reader.row(_RUNS, (name,)) is not None

    async def get(self, name: bytes) -> KeptAnswer | None:
        """The row, with its body decompressed, aside when it is large."""
        row = await self._core.reader.row(_GET, (name, self._core.now()))
        if row is None:
            return None
        content = row[3]
        body = zlib.decompress(content) if len(content) < _SMALL else await asyncio.to_thread(zlib.decompress, content)
        return KeptAnswer(row[0], row[1], orjson.loads(row[2]), body)

    async def finish(
        self, name: bytes, request_id: str, *, status: int, headers: Mapping[str, str], body: bytes, expires: int
    ) -> None:
        """The body is compressed, aside when it is large."""
        content = zlib.compress(body, 1) if len(body) < _SMALL else await asyncio.to_thread(zlib.compress, body, 1)
        values = (name, request_id, status, orjson.dumps(dict(headers)).decode(), content, expires)
        await self._core.write(lambda connection, _: connection.execute(_FINISH, values).rowcount, beside=True)

    async def drop(self, name: bytes, request_id: str) -> None:
        """Delete the attempt's row."""
        await self._core.write(
            lambda connection, _: connection.execute(_DROP, (name, request_id)).rowcount, beside=True
        )

    async def break_off(self, name: bytes, request_id: str) -> None:
        """The row stays, without a process."""
        await self._core.write(
            lambda connection, _: connection.execute(_BREAK_OFF, (name, request_id)).rowcount, beside=True
        )

    async def prune(self, now: int) -> int:
        """Works in pieces, so that running calls are not kept waiting."""
        return await self._core.drop(_PRUNE, now, _AT_ONCE)


def _give_back(connection: sqlite3.Connection, names: Names, request_id: str, now: int) -> None:
    """Refund what an attempt was charged that is made again."""
    unit = UnitOfWork(connection, names)
    unit.load((request_id,))
    hold = unit.holds.get(request_id)
    if hold is None or hold.state != SETTLED:
        return
    account = unit.accounts[hold.account]
    done = unit.refunded(hold)
    if hold.charged > done:
        unit.load_months([(hold.key, hold.period)])
        unit.post(
            account,
            "refund",
            now,
            amount=hold.charged - done,
            hold=hold,
            idem="rerun:" + request_id,
            note="broke off, and runs again under its idempotency key",
        )
        unit.flush()
