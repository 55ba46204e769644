"""Accounts, sessions and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from gateway.api import Refusal
from gateway.api.stores import (
    SESSION_PEPPER,
    Account,
    AccountChange,
    AuditEntry,
    Session,
    asked_credits,
    check_change,
    checked_role,
    checked_text,
    derive,
    digest,
    erased_name,
    name_taken,
    new_token,
    no_account,
    random_text,
)
from tollgate_postgres.engine import REPORT_WITHIN, Database
from tollgate_postgres.lanes import Lanes

if TYPE_CHECKING:
    import asyncpg

_UPDATE = """
    UPDATE accounts SET
        name = CASE WHEN 'name' = ANY ($2) THEN $3 ELSE name END,
        role = CASE WHEN 'role' = ANY ($2) THEN $4 ELSE role END,
        disabled = CASE WHEN 'disabled' = ANY ($2) THEN $5 ELSE disabled END,
        requests_per_minute = CASE WHEN 'requests_per_minute' = ANY ($2) THEN $6 ELSE requests_per_minute END,
        alert_thresholds = CASE WHEN 'alert_thresholds' = ANY ($2) THEN $7 ELSE alert_thresholds END
    WHERE id = $1
    RETURNING id, name, role, balance, held, created, requests_per_minute, disabled, gw_changed(), alert_thresholds
"""
_PAGE = """
    SELECT * FROM gw_accounts WHERE n > CASE WHEN $1 = '' THEN 0 ELSE (SELECT n FROM accounts WHERE id = $1) END
    ORDER BY n LIMIT $2
"""
# What may be large goes in pieces. A response that still runs ends by itself, since its account is disabled.
_CONTENT = (
    "DELETE FROM responses WHERE n IN (SELECT n FROM responses WHERE account = $1 AND lease IS NULL LIMIT 200)",
    "DELETE FROM conversation_items WHERE n IN (SELECT n FROM conversation_items WHERE account = $1 LIMIT 500)",
    "DELETE FROM conversations WHERE n IN (SELECT n FROM conversations WHERE account = $1 LIMIT 200)",
    "DELETE FROM objects WHERE n IN (SELECT n FROM objects WHERE account = $1 AND NOT is_open LIMIT 500)",
    "UPDATE usage SET tags = NULL WHERE account = $1 AND tags IS NOT NULL",
    "UPDATE holds SET tags = NULL WHERE n IN (SELECT n FROM holds WHERE account = $1 AND tags IS NOT NULL LIMIT 500)",
)
_END_ALL = """
    DELETE FROM sessions WHERE id <> $2 AND expires > $3 AND CASE WHEN $1 = '' THEN account IS NULL
        ELSE account = (SELECT n FROM accounts WHERE id = $1) END
"""


async def add_account(
    connection: asyncpg.Connection[asyncpg.Record], name: str, role: str, grant: int, now: int
) -> Account:
    """A new account with its first entry, in the transaction of the caller. Raises UniqueViolationError when the name
    is taken."""
    account_id = "acct_" + random_text(16)
    await connection.execute(
        "INSERT INTO accounts (id, name, role, created) VALUES ($1, $2, $3, $4)", account_id, name, role, now
    )
    if grant:
        await connection.fetchval(
            "SELECT gw_credit($1, 0, $2, $3, '', $4, NULL, NULL)", account_id, grant, "account:" + account_id, now
        )
    return Account(account_id, name, role, grant, 0, now)


def _account(row: asyncpg.Record) -> Account:
    thresholds = row[9]
    account = Account(*row[:8])
    return account if thresholds is None else replace(account, alert_thresholds=tuple(thresholds))


class PostgresAccounts:
    """`gateway.stores.Accounts`. changed: called after each change that a kept key depends on."""

    def __init__(self, database: Database, lanes: Lanes, changed: Callable[[], None]) -> None:
        self._database = database
        self._lanes = lanes
        self._changed = changed

    async def create_account(self, name: str, *, role: str = "user", grant: int = 0) -> Account:
        """The account and its first entry in one transaction."""
        import asyncpg

        checked_text(name, "name", least=1, most=200)
        checked_role(role)
        asked_credits(grant, "grant", least=0)
        now = self._database.now()

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> Account:
            return await add_account(connection, name, role, grant, now)

        try:
            return await self._database.transaction(work)
        except asyncpg.UniqueViolationError:
            raise name_taken() from None

    async def get_account(self, account_id: str) -> Account | None:
        """By id."""
        row = await self._database.row("SELECT * FROM gw_accounts WHERE id = $1", account_id)
        return None if row is None else _account(row)

    async def find_account(self, id_or_name: str) -> Account | None:
        """By id, else by name."""
        row = await self._database.row(
            "SELECT * FROM gw_accounts WHERE id = $1 OR name = $1 ORDER BY id <> $1 LIMIT 1", id_or_name
        )
        return None if row is None else _account(row)

    async def list_accounts(self, *, after: str = "", limit: int = 100) -> list[Account]:
        """In order of creation."""
        rows = await self._database.rows(
            _PAGE, after, min(max(limit, 1), 1000), within=REPORT_WITHIN,
        )  # fmt: skip
        return [_account(row) for row in rows]

    async def update_account(self, account_id: str, change: AccountChange) -> Account | None:
        """One statement, with the generation."""
        import asyncpg

        check_change(change)
        try:
            row = await self._database.row(
                _UPDATE, account_id, list(change.change), change.name, change.role, change.disabled,
                change.requests_per_minute, change.alert_thresholds,
            )  # fmt: skip
        except asyncpg.UniqueViolationError:
            raise name_taken() from None
        self._changed()
        return None if row is None else _account(row)

    async def erase_account(self, account_id: str) -> Account | None:
        """Every access ends in one transaction; what may be large follows in pieces. Rows of the usage log that were
        handed over before are written before, and erased with the others."""
        await self._lanes.catch_up()
        number = await self._database.value(
            "SELECT gw_erase($1, $2, $3)",
            account_id,
            erased_name(account_id),
            self._database.now(),
            within=REPORT_WITHIN,
        )
        self._changed()
        if number is None:
            return None
        for statement in _CONTENT:
            while await self._database.execute(statement, number, within=REPORT_WITHIN):
                pass
        return await self.get_account(account_id)


class PostgresSessions:
    """`gateway.stores.Sessions`."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._pepper = derive(secret, SESSION_PEPPER)

    async def open_session(
        self, account_id: str, *, lifetime: int, remote: str = "", agent: str = ""
    ) -> tuple[Session, str]:
        """Only the token's digest is kept."""
        owner = None
        if account_id:
            row = await self._database.row("SELECT n, disabled FROM accounts WHERE id = $1", account_id)
            if row is None:
                raise no_account()
            if row[1]:
                raise Refusal("This account is disabled.", status=403, type="account_disabled", code="account_disabled")
            owner = row[0]
        now, token = self._database.now(), new_token()
        session = Session("sess_" + random_text(16), account_id, now, now + lifetime, now, remote[:200], agent[:200])
        await self._database.execute(
            "INSERT INTO sessions (id, digest, account, created, expires, seen, remote, agent) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            session.id, digest(self._pepper, token), owner, now, session.expires_at, now, session.remote, session.agent,
            again=False,
        )  # fmt: skip
        return session, token

    async def find_session(self, token: str) -> Session | None:
        """Always asks the database."""
        now, stored = self._database.now(), digest(self._pepper, token)
        row = await self._database.row(
            "SELECT * FROM gw_sessions WHERE digest = $1 AND expires > $2 AND NOT account_disabled", stored, now
        )
        if row is None:
            return None
        if now - row[4] >= 60:
            await self._database.execute("UPDATE sessions SET seen = $2 WHERE digest = $1", stored, now)
        return Session(*row[:7])

    async def list_sessions(self, account_id: str) -> list[Session]:
        """Newest first."""
        rows = await self._database.rows(
            "SELECT * FROM gw_sessions WHERE account = $1 AND expires > $2 ORDER BY n DESC",
            account_id,
            self._database.now(),
        )
        return [Session(*row[:7]) for row in rows]

    async def end_session(self, session_id: str, *, account_id: str | None = None) -> bool:
        """One row."""
        return await self._database.execute(
            "DELETE FROM sessions WHERE id = $2 AND expires > $3 AND "
            "($1::text IS NULL OR account = (SELECT n FROM accounts WHERE id = $1))",
            account_id, session_id, self._database.now(),
        ) > 0  # fmt: skip

    async def end_sessions(self, account_id: str, *, but: str = "") -> int:
        """All rows but one."""
        return await self._database.execute(_END_ALL, account_id, but, self._database.now())

    async def prune(self, now: int) -> int:
        """By the index of their ends."""
        return await self._database.execute("DELETE FROM sessions WHERE expires <= $1", now)


class PostgresAudit:
    """`gateway.stores.Audit`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, actor: str, action: str, subject: str, *, remote: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """One row."""
        text = orjson.dumps(dict(detail or {}), default=str)
        kept = orjson.loads(text) if len(text) <= 8_000 else {"note": f"{len(text)} bytes, so it was not kept"}
        await self._database.execute(
            "INSERT INTO audit (at, actor, remote, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
            self._database.now(), actor[:200], remote[:200], action[:200], subject[:200], kept, again=False,
        )  # fmt: skip

    async def entries(
        self, *, before: int = 0, limit: int = 100, actor: str = "", action: str = "", subject: str = ""
    ) -> list[AuditEntry]:
        """Newest first."""
        rows = await self._database.rows(
            "SELECT n, at, actor, remote, action, subject, detail FROM audit WHERE ($1 = 0 OR n < $1) "
            "AND $3 IN ('', actor) AND $4 IN ('', action) AND $5 IN ('', subject) ORDER BY n DESC LIMIT $2",
            before, min(max(limit, 1), 1000), actor, action, subject, within=REPORT_WITHIN,
        )  # fmt: skip
        return [AuditEntry(*row) for row in rows]
