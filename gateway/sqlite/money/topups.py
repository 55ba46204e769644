"""Orders of credits through payment services, and the ledger entries that they lead to.

An order keeps the *parts* of its money (the payment, each refund, each dispute) as the service last stated them.
After every statement the credits that the order is worth are computed anew, and the difference to what was booked
is posted, all in the writer's one transaction. So replays change nothing, the order of arrival does not matter, two
processes cannot book the same money twice, and a crash leaves either everything or nothing of an event behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.errors import Refusal
from gateway.payments import MAX_AMOUNT, Part, PaymentEvent
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.identity.credentials import random_text
from gateway.sqlite.money.unit_of_work import Names, UnitOfWork
from gateway.stores import MAX_CREDITS, TopUp

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
_STEPS: Mapping[str, int] = MappingProxyType({"pending": 0, "processing": 1, "failed": 2, "expired": 2})
_LONGEST_TEXT = 200


def worth(credits: int, amount: int, paid: int) -> int:
    """Credits for `paid` minor units when `amount` of them buy `credits`; rounded down, exact."""
    return credits * paid // amount


class SqliteTopUps:
    """`gateway.stores.TopUps`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def open(self, account_id: str, method: str, *, currency: str, amount: int, credits: int) -> TopUp:
        """See the protocol."""
        topup_id = "topup_" + random_text(20)
        now = self._core.now()

        def work(connection: sqlite3.Connection, _: Names) -> TopUp:
            values = (topup_id, method, currency, amount, credits, now, account_id)
            if connection.execute(_ADD, values).rowcount != 1:
                raise Refusal("There is no such account.", status=404, code="account_not_found")
            return TopUp(topup_id, account_id, method, currency, amount, credits, now)

        return await self._core.write(work)

    async def set_checkout(self, topup_id: str, checkout_id: str, url: str) -> TopUp | None:
        """See the protocol."""

        def work(connection: sqlite3.Connection, _: Names) -> TopUp | None:
            connection.execute(_SET_CHECKOUT, (checkout_id, url, topup_id, checkout_id))
            return _find(connection, topup_id)

        return await self._core.write(work)

    async def give_up(self, topup_id: str) -> None:
        """See the protocol."""

        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_GIVE_UP, (topup_id,))

        await self._core.write(work)

    async def get(self, topup_id: str, *, account_id: str | None = None) -> TopUp | None:
        """See the protocol."""
        row = await self._core.reader.row(_BY_ID, (topup_id, account_id))
        return None if row is None else _topup(row)

    async def list_topups(self, account_id: str | None = None, *, before: str = "", limit: int = 100) -> list[TopUp]:
        """See the protocol. limit: 1 to 1000."""
        most = min(max(limit, 1), 1000)
        if account_id is None:
            rows = await self._core.reader.rows(_PAGE_OF_ALL, (before, most), slow=True)
        else:
            rows = await self._core.reader.rows(_PAGE, (before, most, account_id), slow=True)
        return [_topup(row) for row in rows]

    async def book(self, method: str, event: PaymentEvent) -> TopUp | None:
        """See the protocol."""
        _check_parts(event.parts)
        now = self._core.now()

        def work(connection: sqlite3.Connection, names: Names) -> TopUp | None:
            topup = _find(connection, event.order_id)
            if topup is None:
                return None
            _check_fit(topup, method, event)
            number, entries = connection.execute(_ORDER, (topup.id,)).fetchone()
            settled, returned = _merge(connection, number, event.parts)
            change = _change(topup, settled, returned)
            book = UnitOfWork(connection, names)
            entries += _post(book, topup, change, entries, now)
            state = event.state if event.state and _STEPS[event.state] > _STEPS[topup.state] else topup.state
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


def _check_parts(parts: Iterable[Part]) -> None:
    """A plugin's mistake, or a service gone mad: refused before anything is stored."""
    for part in parts:
        if not 0 < len(part.name) <= _LONGEST_TEXT or abs(part.amount) > MAX_AMOUNT or abs(part.rank) > MAX_CREDITS:
            raise Refusal("This payment cannot be booked: its figures make no sense.", status=409,
                          code="payment_mismatch", detail=repr(part)[:300])  # fmt: skip


def _check_fit(topup: TopUp, method: str, event: PaymentEvent) -> None:
    for what, ours, theirs in (
        ("payment service", topup.method, method),
        ("currency", topup.currency, event.currency or topup.currency),
        ("checkout", topup.checkout_id, event.checkout_id if topup.checkout_id and event.checkout_id else None),
    ):
        if theirs is not None and ours != theirs:
            raise Refusal(
                f"This payment is not the order's: another {what}.",
                status=409,
                code="payment_mismatch",
                detail=f"order {topup.id}, event {event.id}: {what} {theirs[:100]!r}, expected {ours!r}",
            )


def _merge(connection: sqlite3.Connection, number: int, parts: Iterable[Part]) -> tuple[int, int]:
    """Take over newer statements; returns the money received and the money returned."""
    known = {name: (amount, rank) for name, amount, rank in connection.execute(_PARTS, (number,))}
    for part in parts:
        earlier = known.get(part.name)
        if earlier is None or (part.rank, abs(part.amount)) > (earlier[1], abs(earlier[0])):
            known[part.name] = (part.amount, part.rank)
            connection.execute(_SET_PART, (number, part.name, part.amount, part.rank))
    amounts = [amount for amount, _ in known.values()]
    return sum(amount for amount in amounts if amount > 0), -sum(amount for amount in amounts if amount < 0)


@dataclass(slots=True)
class _Change:
    """posted: what the ledger gets or loses. unpaid: what it should lose besides, but cannot. owed: after all."""

    wanted: int
    owed: int
    posted: int = 0
    unpaid: int = 0


def _change(topup: TopUp, settled: int, returned: int) -> _Change:
    """What the order's new sums mean in credits, before the account's balance is looked at."""
    due = worth(topup.credits, topup.amount, max(settled - returned, 0))
    wanted = due - (topup.credited - topup.owed)
    if wanted <= 0:
        return _Change(wanted, topup.owed)
    # Credits that were owed are paid first: they had been spent.
    repaid = min(topup.owed, wanted)
    return _Change(wanted - repaid, topup.owed - repaid)


def _post(book: UnitOfWork, topup: TopUp, change: _Change, entries: int, now: int) -> int:
    """Post the difference; returns the number of entries made. Credits that are held or spent stay untouched."""
    if not change.wanted:
        return 0
    book.load((), (topup.account_id,))
    account = book.account_by_id[topup.account_id]
    key = f"topup:{topup.id}:{entries + 1}"
    if change.wanted > 0:
        if account.balance + change.wanted > MAX_CREDITS:
            raise Refusal("credits: the balance would become too large.", status=409, code="too_many_credits")
        change.posted = change.wanted
        book.post(account, "topup", now, amount=change.posted, idem=key, note=f"payment by {topup.method}")
    else:
        taken = min(-change.wanted, account.balance - account.held)
        change.posted = -taken
        change.unpaid = -change.wanted - taken
        change.owed += change.unpaid
        book.post(
            account, "correction", now, amount=-taken, unpaid=change.unpaid, idem=key,
            note=f"payment by {topup.method} given back",
        )  # fmt: skip
    book.flush()
    return 1
