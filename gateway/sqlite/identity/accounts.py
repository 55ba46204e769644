"""Accounts on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import orjson

from gateway.api.stores import (
    Account,
    AccountChange,
    asked_credits,
    check_change,
    checked_role,
    checked_text,
    name_taken,
    random_text,
)
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.identity.authentication import NEW_GENERATION
from gateway.sqlite.identity.erasing import erase
from gateway.sqlite.money.unit_of_work import Names, UnitOfWork

_BY_ID = """
    SELECT id, name, role, balance, held, created, requests_per_minute, disabled, alert_thresholds
    FROM accounts WHERE id = ?
"""
_BY_NAME = """
    SELECT id, name, role, balance, held, created, requests_per_minute, disabled, alert_thresholds
    FROM accounts WHERE name = ?
"""
_PAGE = """
    SELECT id, name, role, balance, held, created, requests_per_minute, disabled, alert_thresholds
    FROM accounts
    WHERE n > CASE WHEN ?1 = '' THEN 0 ELSE (SELECT n FROM accounts WHERE id = ?1) END ORDER BY n LIMIT ?2
"""
_ADD = "INSERT INTO accounts (id, name, role, created) VALUES (?, ?, ?, ?)"
_TAKEN = "SELECT 1 FROM accounts WHERE name = ? AND id != ?"
_SETTERS = {
    "name": "UPDATE accounts SET name = ? WHERE id = ?",
    "role": "UPDATE accounts SET role = ? WHERE id = ?",
    "disabled": "UPDATE accounts SET disabled = ? WHERE id = ?",
    "requests_per_minute": "UPDATE accounts SET requests_per_minute = ? WHERE id = ?",
    "alert_thresholds": "UPDATE accounts SET alert_thresholds = ? WHERE id = ?",
}
"""The only columns that can be set. Money moves through the ledger alone."""


def _account(row: Row) -> Account:
    account_id, name, role, balance, held, created, rate, disabled, thresholds = row
    found = None if thresholds is None else tuple(orjson.loads(thresholds))
    return Account(account_id, name, role, balance, held, created, rate, bool(disabled), found)


def new_account_id() -> str:
    """The id of an account that is to be made."""
    return "acct_" + random_text(16)


def add_account(
    connection: sqlite3.Connection, names: Names, account_id: str, name: str, role: str, grant: int, now: int
) -> Account:
    """A new account with its first entry, inside the writer's transaction; the values were checked.
    Raises Refusal(409)."""
    if connection.execute(_TAKEN, (name, account_id)).fetchone():
        raise name_taken()
    connection.execute(_ADD, (account_id, name, role, now))
    if grant:
        unit = UnitOfWork(connection, names)
        unit.load((), (account_id,))
        account = unit.account_by_id[account_id]
        unit.post(account, "grant", now, amount=grant, idem="account:" + account_id, note="first grant")
        unit.flush()
    return _account(connection.execute(_BY_ID, (account_id,)).fetchone())


class SqliteAccounts:
    """`gateway.stores.Accounts`. changed: called after a change that `authenticate` must see."""

    def __init__(self, core: Core, changed: Callable[[], None]) -> None:
        self._core = core
        self._changed = changed

    async def create_account(self, name: str, *, role: str = "user", grant: int = 0) -> Account:
        """Names are unique, 1 to 200 characters."""
        checked_text(name, "name", least=1, most=200)
        checked_role(role)
        asked_credits(grant, "grant", least=0)
        account_id = new_account_id()
        now = self._core.now()

        def work(connection: sqlite3.Connection, names: Names) -> Account:
            return add_account(connection, names, account_id, name, role, grant, now)

        return await self._core.write(work)

    async def get_account(self, account_id: str) -> Account | None:
        """The account with this id."""
        row = await self._core.reader.row(_BY_ID, (account_id,))
        return None if row is None else _account(row)

    async def find_account(self, id_or_name: str) -> Account | None:
        """The account with this id, else the one with this name."""
        found = await self.get_account(id_or_name)
        if found is not None:
            return found
        row = await self._core.reader.row(_BY_NAME, (id_or_name,))
        return None if row is None else _account(row)

    async def list_accounts(self, *, after: str = "", limit: int = 100) -> list[Account]:
        """A page, in order of creation; empty when `after` is unknown."""
        rows = await self._core.reader.rows(_PAGE, (after, min(max(limit, 1), 1000)), slow=True)
        return [_account(row) for row in rows]

    async def update_account(self, account_id: str, change: AccountChange) -> Account | None:
        """Raises CallerFault when `change` names anything that cannot be set."""
        check_change(change)
        values: dict[str, object] = {member: getattr(change, member) for member in change.change}
        if change.alert_thresholds is not None and "alert_thresholds" in values:
            values["alert_thresholds"] = orjson.dumps(change.alert_thresholds).decode()
        if "disabled" in values:
            values["disabled"] = int(bool(change.disabled))

        def work(connection: sqlite3.Connection, _: Names) -> Account | None:
            if "name" in values and connection.execute(_TAKEN, (change.name, account_id)).fetchone():
                raise name_taken()
            for member, value in values.items():
                connection.execute(_SETTERS[member], (value, account_id))
            connection.execute(NEW_GENERATION)
            row = connection.execute(_BY_ID, (account_id,)).fetchone()
            return None if row is None else _account(row)

        try:
            return await self._core.write(work)
        finally:
            self._changed()

    async def erase_account(self, account_id: str) -> Account | None:
        """Every access ends in one transaction; what may be large follows in pieces."""
        try:
            known = await erase(self._core, account_id)
        finally:
            self._changed()
        return await self.get_account(account_id) if known else None
