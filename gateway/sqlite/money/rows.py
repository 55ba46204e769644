"""Rows of accounts, keys, months, holds and leases as the writer knows them: read once, and kept in memory for as long
as nobody else writes to the database.

A batch of a process that writes alone reads nothing but the holds that are new to it. Who else may write, another
worker or a command, is noticed at the beginning of each transaction by `PRAGMA data_version`, which changes with every
commit of another connection; then everything is read anew, but the holds. Others change these only when they take this
process for dead or erase whom they are for, so a batch only looks whether those that it needs are as they were: by
their numbers, which costs half of reading them by their requests. Sums (`balance`, `held`, `used`) are written as
differences, and the database's own CHECKs stand behind them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

OPEN, SETTLED, VOIDED, FORSAKEN = range(4)
"""States of a hold. FORSAKEN: voided by somebody else, because its process was dead."""


@dataclass(slots=True)
class AccountRow:
    """An account's money; `moved` and `reserved` are the differences to be written."""

    n: int
    id: str
    balance: int
    held: int
    disabled: int
    moved: int = 0
    reserved: int = 0


@dataclass(slots=True)
class KeyRow:
    """What a hold must know of a key."""

    n: int
    id: str
    account: int
    monthly_limit: int | None
    revoked: int | None


@dataclass(slots=True)
class MonthRow:
    """A key's month; `moved` and `reserved` are the differences to be written."""

    key: int
    period: int
    used: int
    held: int
    stored: bool = True
    moved: int = 0
    reserved: int = 0


@dataclass(slots=True)
class HoldRow:
    """One hold, open or closed; the columns from `process` on are None once it is closed."""

    n: int
    request_id: str
    account: int
    key: int
    period: int
    created: int
    model: int
    amount: int
    units: int
    state: int
    charged: int
    logged: int
    target: int | None
    process: int | None
    dispatched: int | None
    base: str | None
    unit_price: str | None
    ceiling: int | None
    known: int | None
    known_prompt: int | None
    known_completion: int | None
    tags: str | None = None
    """A JSON object."""
    as_of: int = 0
    """Which of the states that others left the database in it was read from, or found to be as it was."""

    def stored(self) -> tuple[Any, ...]:
        """What `Rows` compares with the database."""
        return (self.n, self.state, self.amount, self.units, self.logged, self.dispatched, self.known, self.tags)


_HOLDS = """
    SELECT h.n, h.request_id, h.account, h.key, h.period, h.created, h.model, h.amount, h.units, h.state, h.charged,
        h.logged, h.target, h.process, h.dispatched, h.base, h.unit_price, h.ceiling, h.known, h.known_prompt,
        h.known_completion, h.tags
    FROM json_each(?) AS j CROSS JOIN holds AS h ON h.request_id = j.value
"""
_AS_THEY_ARE = """
    SELECT h.n, h.state, h.amount, h.units, h.logged, h.dispatched, h.known, h.tags
    FROM json_each(?) AS j CROSS JOIN holds AS h ON h.n = j.value
"""
_ACCOUNTS_BY_ID = """
    SELECT a.n, a.id, a.balance, a.held, a.disabled FROM json_each(?) AS j CROSS JOIN accounts AS a ON a.id = j.value
"""
_ACCOUNTS_BY_NUMBER = """
    SELECT a.n, a.id, a.balance, a.held, a.disabled FROM json_each(?) AS j CROSS JOIN accounts AS a ON a.n = j.value
"""
_KEYS = """
    SELECT k.n, k.id, k.account, k.monthly_limit, k.revoked
    FROM json_each(?) AS j CROSS JOIN keys AS k ON k.id = j.value
"""
_MONTHS = """
    SELECT m.key, m.period, m.used, m.held
    FROM json_each(?) AS j CROSS JOIN months AS m ON m.key = j.value ->> 0 AND m.period = j.value ->> 1
"""
_LEASE = "SELECT n FROM processes WHERE n = ?"
_LAST_HOLD = "SELECT coalesce(max(n), 0) FROM holds"
_VERSION = "PRAGMA data_version"
MOST = 20_000
"""Rows of one kind that are kept."""


def to_json(rows: Iterable[Any]) -> str:
    """Rows as one parameter of a set-wise statement."""
    return orjson.dumps(list(rows)).decode()


class Rows:
    """All rows that the writer knows. Lives on its thread."""

    def __init__(self) -> None:
        self.holds: dict[str, HoldRow] = {}
        self.accounts: dict[int, AccountRow] = {}
        self.account_by_id: dict[str, AccountRow] = {}
        self.keys: dict[str, KeyRow] = {}
        self.leases: set[int] = set()
        """The leases asked for that were not buried: a new hold must name one of them."""
        self._months: dict[tuple[int, int], MonthRow] = {}
        self._version = -1
        self._next_hold = 0
        self._as_of = 0

    def forget(self) -> None:
        """Read everything anew: the transaction was rolled back, or something rare has changed anything at all."""
        self.holds.clear()
        self._forget_sums()

    def _forget_sums(self) -> None:
        for kept in (self.accounts, self.account_by_id, self.keys, self._months):
            kept.clear()
        self.leases.clear()
        self._next_hold = 0

    def look(self, connection: sqlite3.Connection) -> None:
        """A transaction that may write has begun: forget what others may have changed before it."""
        version = connection.execute(_VERSION).fetchone()[0]
        if version != self._version:
            self._forget_sums()
            self._version = version
            self._as_of += 1

    def load(
        self,
        connection: sqlite3.Connection,
        request_ids: Collection[str],
        account_ids: Iterable[str] = (),
        key_ids: Iterable[str] = (),
    ) -> None:
        """Read the holds of these requests with their accounts, and these accounts and keys, as far as they are not
        here."""
        run = connection.execute
        self._load_holds(connection, request_ids)
        numbers = {
            hold.account for name in request_ids if (hold := self.holds.get(name)) and hold.account not in self.accounts
        }
        if numbers:
            self._take_accounts(run(_ACCOUNTS_BY_NUMBER, (to_json(numbers),)))
        missing = [name for name in account_ids if name not in self.account_by_id]
        if missing:
            self._take_accounts(run(_ACCOUNTS_BY_ID, (to_json(missing),)))
        missing = [name for name in key_ids if name not in self.keys]
        if missing:
            for row in run(_KEYS, (to_json(missing),)):
                self.keys[row[1]] = KeyRow(*row)

    def _load_holds(self, connection: sqlite3.Connection, request_ids: Iterable[str]) -> None:
        known, doubtful, new = self.holds, [], []
        for name in request_ids:
            hold = known.get(name)
            if hold is None:
                new.append(name)
            elif hold.as_of != self._as_of:
                doubtful.append(hold)
        if doubtful:
            found = {row[0]: row for row in connection.execute(_AS_THEY_ARE, (to_json(h.n for h in doubtful),))}
            for hold in doubtful:
                if found.get(hold.n) == hold.stored():
                    hold.as_of = self._as_of
                else:
                    del known[hold.request_id]
                    new.append(hold.request_id)
        if new:
            for row in connection.execute(_HOLDS, (to_json(new),)):
                self.keep(HoldRow(*row))

    def keep(self, hold: HoldRow) -> None:
        """A hold as it is in this transaction."""
        hold.as_of = self._as_of
        self.holds[hold.request_id] = hold

    def load_leases(self, connection: sqlite3.Connection, wanted: Iterable[int]) -> None:
        """Look which of these leases still stand. A batch has one, or two after a process had to join anew."""
        for lease in wanted:
            if lease not in self.leases:
                self.leases.update(row[0] for row in connection.execute(_LEASE, (lease,)))

    def load_months(self, connection: sqlite3.Connection, wanted: Iterable[tuple[int, int]]) -> None:
        """Read months by (key number, period)."""
        months = {month for month in wanted if month[0] and month not in self._months}
        if months:
            for row in connection.execute(_MONTHS, (to_json(months),)):
                self._months[(row[0], row[1])] = MonthRow(*row)

    def month(self, key: int, period: int) -> MonthRow | None:
        """A key's month, new when it has none; None for calls without a key."""
        if not key:
            return None
        found = self._months.get((key, period))
        if found is None:
            found = self._months[(key, period)] = MonthRow(key, period, 0, 0, stored=False)
        return found

    def next_hold(self, connection: sqlite3.Connection) -> int:
        """The number of a new hold. The transaction has the only write lock, so it is free."""
        number = self._next_hold or int(connection.execute(_LAST_HOLD).fetchone()[0]) + 1
        self._next_hold = number + 1
        return number

    def written(self, holds: Iterable[HoldRow]) -> None:
        """A batch that asked for these holds was written back. Closed ones are rarely asked for again."""
        for hold in holds:
            if hold.state != OPEN:
                self.holds.pop(hold.request_id, None)
        if max(len(self.holds), len(self.accounts), len(self.keys), len(self._months)) > MOST:
            self.forget()

    def _take_accounts(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            account = AccountRow(*row)
            self.accounts[account.n] = self.account_by_id[account.id] = account
