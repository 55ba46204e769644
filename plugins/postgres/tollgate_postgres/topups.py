"""Orders of credits through payment services. The arithmetic is that of every store; the order's and the account's rows
are locked while it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.api import Part, PaymentEvent, Refusal
from gateway.api.stores import (
    MAX_CREDITS,
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
from tollgate_postgres.engine import Database

if TYPE_CHECKING:
    import asyncpg

_BY_ID = "SELECT * FROM gw_topups WHERE id = $1 AND ($2::text IS NULL OR account = $2)"
_PAGE = """
    SELECT * FROM gw_topups WHERE ($1 = '' OR n < (SELECT n FROM topups WHERE id = $1))
        AND ($3::text IS NULL OR account = $3) ORDER BY n DESC LIMIT $2
"""
_POST = "SELECT gw_post($1, $2, $3, 0, $4, $5, NULL::holds, 0, $6, $7)"


def _topup(row: asyncpg.Record) -> TopUp:
    return TopUp(*row[:14])


class PostgresTopUps:
    """`gateway.stores.TopUps`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, account_id: str, method: str, *, currency: str, amount: int, credits: int) -> TopUp:
        """A new order."""
        topup_id, now = "topup_" + random_text(20), self._database.now()
        made = await self._database.run(
            lambda connection: connection.execute(
                "INSERT INTO topups (id, account, method, currency, amount, credits, created, state) "
                "SELECT $1, n, $3, $4, $5, $6, $7, 'pending' FROM accounts WHERE id = $2",
                topup_id, account_id, method, currency, amount, credits, now,
            ),
            again=False,
        )  # fmt: skip
        if made.endswith(" 0"):
            raise no_account()
        return TopUp(topup_id, account_id, method, currency, amount, credits, now)

    async def set_checkout(self, topup_id: str, checkout_id: str, url: str) -> TopUp | None:
        """The first page stays."""
        await self._database.execute(
            "UPDATE topups SET checkout = $2, url = $3 WHERE id = $1 AND checkout IN ('', $2)",
            topup_id, checkout_id, url,
        )  # fmt: skip
        return await self.get(topup_id)

    async def give_up(self, topup_id: str) -> None:
        """Only an order without a page."""
        await self._database.execute(
            "UPDATE topups SET state = 'failed' WHERE id = $1 AND state = 'pending' AND checkout = ''", topup_id
        )

    async def get(self, topup_id: str, *, account_id: str | None = None) -> TopUp | None:
        """One order."""
        row = await self._database.row(_BY_ID, topup_id, account_id)
        return None if row is None else _topup(row)

    async def list_topups(self, account_id: str | None = None, *, before: str = "", limit: int = 100) -> list[TopUp]:
        """Newest first."""
        rows = await self._database.rows(_PAGE, before, min(max(limit, 1), 1000), account_id)
        return [_topup(row) for row in rows]

    async def book(self, method: str, event: PaymentEvent) -> TopUp | None:
        """One transaction; the rows are locked from the start."""
        check_parts(event.parts)

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> TopUp | None:
            return await _book(connection, method, event, self._database.now())

        return await self._database.transaction(work)


async def _book(
    connection: asyncpg.Connection[asyncpg.Record], method: str, event: PaymentEvent, now: int
) -> TopUp | None:
    order = await connection.fetchrow(
        "SELECT t.n, t.entries, a.n, a.balance, a.held FROM topups AS t JOIN accounts AS a ON a.n = t.account "
        "WHERE t.id = $1 FOR NO KEY UPDATE", event.order_id,
    )  # fmt: skip
    if order is None:
        return None
    number, entries, account, balance, held = order
    row = await connection.fetchrow(_BY_ID, event.order_id, None)
    assert row is not None
    topup = _topup(row)
    check_fit(topup, method, event)
    rows = await connection.fetch("SELECT name, amount, rank FROM topup_parts WHERE topup = $1", number)
    known = {row[0]: Part(*row) for row in rows}
    for part in newer_parts(known, event.parts):
        known[part.name] = part
        await connection.execute(
            "INSERT INTO topup_parts (topup, name, amount, rank) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (topup, name) DO UPDATE SET amount = excluded.amount, rank = excluded.rank",
            number, part.name, part.amount, part.rank,
        )  # fmt: skip
    settled, returned = sums_of(known.values())
    change = change_of(topup, settled, returned)
    kind = 1
    if change.wanted > 0:
        if balance + change.wanted > MAX_CREDITS:
            raise Refusal("credits: the balance would become too large.", status=409, code="too_many_credits")
        change.posted = change.wanted
    elif change.wanted:
        kind = 9
        take(change, balance - held)
    if change.posted or change.unpaid:
        entries += 1
        await connection.fetchval(
            _POST, account, kind, change.posted, change.unpaid, now, f"topup:{topup.id}:{entries}",
            f"{method} {event.id}"[:500],
        )  # fmt: skip
    await connection.execute(
        "UPDATE topups SET state = $2, checkout = $3, settled = $4, returned = $5, credited = $6, owed = $7, "
        "entries = $8 WHERE n = $1",
        number, next_state(topup.state, event.state), topup.checkout_id or event.checkout_id, settled, returned,
        topup.credited + change.posted, change.owed, entries,
    )  # fmt: skip
    row = await connection.fetchrow(_BY_ID, event.order_id, None)
    assert row is not None
    return _topup(row)
