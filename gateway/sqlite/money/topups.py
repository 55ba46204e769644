"""Orders of credits through payment services, and the ledger entries that they lead to.

The arithmetic is that of every store (`gateway.stores.orders`); here it is done in the writer's one transaction. So two
processes cannot book the same money twice, and a crash leaves either everything or nothing of an event behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from gateway.api import Part, PaymentEvent, Refusal
from gateway.api.stores import (
    MAX_CREDITS,
    Change,
    TopUp,
    change_of,
    check_fit,
    check_parts,
    newer_parts,
    next_state,
    no_account,
    random_text,
    sums_of,
    take,
)
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.money.unit_of_work import Names, UnitOfWork

_ADD = """
    INSERT INTO topups (id, account, method, currency, amount, credits, created, state)
    SELECT ?, n, ?, ?, ?, ?, ?, 'pending' FROM accounts WHERE id = ?
"""
_BY_ID = """
    SELECT t.id, a.id, t.method, t.currency, t.amount, t.credits, t.created, t.state, t.checkout, t.url, t.settled,
        t.returned, t.credited, t.owed
    FROM topups AS t JOIN accounts AS a ON a.n = t.account WHERE t.id = ?1 AND (?2 IS NULL OR a.id = ?2)
"""
_PAGE_OF_ALL = """
    SELECT t.id, a.id, t.method, t.currency, t.amount, t.credits, t.created, t.state, t.checkout, t.url, t.settled,
        t.returned, t.credited, t.owed
    FROM topups AS t JOIN accounts AS a ON a.n = t.account
    WHERE ?1 = '' OR t.n < (SELECT n FROM topups WHERE id = ?1) ORDER BY t.n DESC LIMIT ?2
"""
_PAGE = """
    SELECT t.id, a.id, t.method, t.currency, t.amount, t.credits, t.created, t.state, t.checkout, t.url, t.settled,
        t.returned, t.credited, t.owed
    FROM accounts AS a CROSS JOIN topups AS t ON t.account = a.n
    WHERE a.id = ?3 AND (?1 = '' OR t.n < (SELECT n FROM topups WHERE id = ?1)) ORDER BY t.n DESC LIMIT ?2
"""
_SET_CHECKOUT = "UPDATE topups SET checkout = ?, url = ? WHERE id = ? AND checkout IN ('', ?)"
_GIVE_UP = "UPDATE topups SET state = 'failed' WHERE id = ? AND state = 'pending' AND checkout = ''"
_ORDER = "SELECT n, entries FROM topups WHERE id = ?"
_PARTS = "SELECT name, amount, rank FROM topup_parts WHERE topup = ?"
_SET_PART = """
    INSERT INTO topup_parts (topup, name, amount, rank) VALUES (?, ?, ?, ?)
    ON CONFLICT (topup, name) DO UPDATE SET amount = excluded.amount, rank = excluded.rank
"""
_UPDATE = """
    UPDATE topups SET state = ?, checkout = ?, settled = ?, returned = ?, credited = ?, owed = ?, entries = ?
    WHERE n = ?
"""


class SqliteTopUps:
    """`gateway.stores.TopUps`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def open(self, account_id: str, method: str, *, currency: str, amount: int, credits: int) -> TopUp:
        """A row in state `pending`."""
        topup_id = "topup_" + random_text(20)
        now = self._core.now()

        def work(connection: sqlite3.Connection, _: Names) -> TopUp:
            values = (topup_id, method, currency, amount, credits, now, account_id)
            if connection.execute(_ADD, values).rowcount != 1:
                raise no_account()
            return TopUp(topup_id, account_id, method, currency, amount, credits, now)

        return await self._core.write(work)

    async def set_checkout(self, topup_id: str, checkout_id: str, url: str) -> TopUp | None:
        """Only an order without another page."""

        def work(connection: sqlite3.Connection, _: Names) -> TopUp | None:
            connection.execute(_SET_CHECKOUT, (checkout_id, url, topup_id, checkout_id))
            return _find(connection, topup_id)

        return await self._core.write(work)

    async def give_up(self, topup_id: str) -> None:
        """Only a pending order without a page."""

        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_GIVE_UP, (topup_id,))

        await self._core.write(work)

    async def get(self, topup_id: str, *, account_id: str | None = None) -> TopUp | None:
        """One row, unless it is another account's."""
        row = await self._core.reader.row(_BY_ID, (topup_id, account_id))
        return None if row is None else _topup(row)

    async def list_topups(self, account_id: str | None = None, *, before: str = "", limit: int = 100) -> list[TopUp]:
        """limit: 1 to 1000."""
        most = min(max(limit, 1), 1000)
        if account_id is None:
            rows = await self._core.reader.rows(_PAGE_OF_ALL, (before, most), slow=True)
        else:
            rows = await self._core.reader.rows(_PAGE, (before, most, account_id), slow=True)
        return [_topup(row) for row in rows]

    async def book(self, method: str, event: PaymentEvent) -> TopUp | None:
        """Order and ledger in one transaction of the writer's."""
        check_parts(event.parts)
        now = self._core.now()

        def work(connection: sqlite3.Connection, names: Names) -> TopUp | None:
            topup = _find(connection, event.order_id)
            if topup is None:
                return None
            check_fit(topup, method, event)
            number, entries = connection.execute(_ORDER, (topup.id,)).fetchone()
            settled, returned = _merge(connection, number, event.parts)
            change = change_of(topup, settled, returned)
            unit = UnitOfWork(connection, names)
            entries += _post(unit, topup, change, entries, now)
            state = next_state(topup.state, event.state)
            connection.execute(
                _UPDATE,
                (
                    state, topup.checkout_id or event.checkout_id, settled, returned, topup.credited + change.posted,
                    change.owed, entries, number,
                ),
            )  # fmt: skip
            return _find(connection, topup.id)

        return await self._core.write(work)


def _find(connection: sqlite3.Connection, topup_id: str) -> TopUp | None:
    row = connection.execute(_BY_ID, (topup_id, None)).fetchone()
    return None if row is None else _topup(row)


def _topup(row: Row) -> TopUp:
    return TopUp(*row)


def _merge(connection: sqlite3.Connection, number: int, parts: Iterable[Part]) -> tuple[int, int]:
    """Take over newer statements; returns the money received and the money returned."""
    known = {name: Part(name, amount, rank) for name, amount, rank in connection.execute(_PARTS, (number,))}
    for part in newer_parts(known, parts):
        known[part.name] = part
        connection.execute(_SET_PART, (number, part.name, part.amount, part.rank))
    return sums_of(known.values())


def _post(unit: UnitOfWork, topup: TopUp, change: Change, entries: int, now: int) -> int:
    """Post the difference; returns the number of entries made. Credits that are held or spent stay untouched."""
    if not change.wanted:
        return 0
    unit.load((), (topup.account_id,))
    account = unit.account_by_id[topup.account_id]
    key = f"topup:{topup.id}:{entries + 1}"
    if change.wanted > 0:
        if account.balance + change.wanted > MAX_CREDITS:
            raise Refusal("credits: the balance would become too large.", status=409, code="too_many_credits")
        change.posted = change.wanted
        unit.post(account, "topup", now, amount=change.posted, idem=key, note=f"payment by {topup.method}")
    else:
        take(change, account.balance - account.held)
        unit.post(
            account, "correction", now, amount=change.posted, unpaid=change.unpaid, idem=key,
            note=f"payment by {topup.method} given back",
        )  # fmt: skip
    unit.flush()
    return 1
