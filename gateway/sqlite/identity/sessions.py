"""Sessions of the console on SQLite. Looked up in the database each time: people click less often than programs call,
and a session that was ended must be over at once."""

from __future__ import annotations

import sqlite3

from gateway.api import Refusal
from gateway.api.stores import SESSION_PEPPER, Session, derive, digest, new_token, no_account, random_text
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.money.operations import SqlOperation
from gateway.sqlite.money.unit_of_work import Names

_ADD = """
    INSERT INTO sessions (id, digest, account, created, expires, seen, remote, agent)
    VALUES (?1, ?2, ?3, ?4, ?5, ?4, ?6, ?7)
"""
_FIND = """
    SELECT s.id, coalesce(a.id, ''), s.created, s.expires, s.seen, s.remote, s.agent
    FROM sessions AS s LEFT JOIN accounts AS a ON a.n = s.account
    WHERE s.digest = ?1 AND s.expires > ?2 AND (s.account IS NULL OR a.disabled = 0)
"""
_LIST = """
    SELECT s.id, a.id, s.created, s.expires, s.seen, s.remote, s.agent
    FROM accounts AS a CROSS JOIN sessions AS s ON s.account = a.n WHERE a.id = ?1 AND s.expires > ?2 ORDER BY s.n DESC
"""
_LIST_OPERATORS = """
    SELECT s.id, '', s.created, s.expires, s.seen, s.remote, s.agent
    FROM sessions AS s WHERE s.account IS NULL AND ?1 = '' AND s.expires > ?2 ORDER BY s.n DESC
"""
_ACCOUNT = "SELECT n, disabled FROM accounts WHERE id = ?"
_TOUCH = "UPDATE sessions SET seen = max(seen, ?) WHERE id = ?"
_END = """
    DELETE FROM sessions WHERE id = ?1 AND expires > ?3
        AND (?2 IS NULL OR (?2 = '' AND account IS NULL) OR account = (SELECT n FROM accounts WHERE id = ?2))
"""
_END_ALL = """
    DELETE FROM sessions WHERE id != ?2 AND expires > ?3
        AND ((?1 = '' AND account IS NULL) OR account = (SELECT n FROM accounts WHERE id = ?1))
"""
_PRUNE = "DELETE FROM sessions WHERE n IN (SELECT n FROM sessions WHERE expires <= ?1 LIMIT ?2)"
_TOUCH_EVERY = 60
_AT_ONCE = 500
_LONGEST_TEXT = 200


class SqliteSessions:
    """`gateway.stores.Sessions`."""

    def __init__(self, core: Core, secret: bytes) -> None:
        self._core = core
        self._pepper = derive(secret, SESSION_PEPPER)

    async def open_session(
        self, account_id: str, *, lifetime: int, remote: str = "", agent: str = ""
    ) -> tuple[Session, str]:
        """A new session and its token."""
        now = self._core.now()
        token = new_token()
        session = Session(
            "sess_" + random_text(16), account_id, now, now + lifetime, now,
            remote[:_LONGEST_TEXT], agent[:_LONGEST_TEXT],
        )  # fmt: skip
        stored = digest(self._pepper, token)

        def work(connection: sqlite3.Connection, _: Names) -> None:
            number = None
            if account_id:
                account = connection.execute(_ACCOUNT, (account_id,)).fetchone()
                if account is None:
                    raise no_account()
                if account[1]:
                    raise Refusal(
                        "This account is disabled.", status=403, type="account_disabled", code="account_disabled"
                    )
                number = account[0]
            values = (session.id, stored, number, now, session.expires_at, session.remote, session.agent)
            connection.execute(_ADD, values)

        await self._core.write(work)
        return session, token

    async def find_session(self, token: str) -> Session | None:
        """The session behind a token, unless it or its account has ended."""
        now = self._core.now()
        row = await self._core.reader.row(_FIND, (digest(self._pepper, token), now))
        if row is None:
            return None
        found = Session(*row)
        if now - found.last_seen_at >= _TOUCH_EVERY:
            self._touch(found.id, now)
        return found

    async def list_sessions(self, account_id: str) -> list[Session]:
        """Newest first; those of the operator under the account id ""."""
        sql = _LIST if account_id else _LIST_OPERATORS
        rows: list[Row] = await self._core.reader.rows(sql, (account_id, self._core.now()), slow=True)
        return [Session(*row) for row in rows]

    async def end_session(self, session_id: str, *, account_id: str | None = None) -> bool:
        """Delete the session's row."""
        values = (session_id, account_id, self._core.now())
        return await self._core.write(lambda connection, _: connection.execute(_END, values).rowcount > 0)

    async def end_sessions(self, account_id: str, *, but: str = "") -> int:
        """Delete the rows of an account's sessions; of the operator's with the account id ""."""
        values = (account_id, but, self._core.now())

        return await self._core.write(lambda connection, _: connection.execute(_END_ALL, values).rowcount)

    async def prune(self, now: int) -> int:
        """Delete what expired, in pieces."""
        return await self._core.drop(_PRUNE, now, _AT_ONCE)

    def _touch(self, session_id: str, now: int) -> None:
        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_TOUCH, (now, session_id))

        self._core.writer.post(SqlOperation(work, beside=True))
