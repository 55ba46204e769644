"""The ledger on SQLite: holds and their ends through the writer, pages of entries through the reader."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from decimal import Decimal

from gateway.api import Basis, Usage
from gateway.api.stores import Entry, Hold, HoldRequest
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.money.credits import Credits
from gateway.sqlite.money.inheritance import settle_inheritance
from gateway.sqlite.money.operations import (
    DispatchOperation,
    GrowOperation,
    HoldOperation,
    NoteOperation,
    SettleOperation,
    VoidOperation,
)
from gateway.sqlite.money.recovery import fail_over_holds
from gateway.sqlite.money.unit_of_work import BASES, KINDS

_OLDEST_OF_ALL = """
    SELECT e.n, a.id, e.kind, e.amount, e.reserved, e.unpaid, e.balance, e.created, h.request_id, k.id, m.text, e.basis,
        e.idem, e.note
    FROM entries AS e JOIN accounts AS a ON a.n = e.account LEFT JOIN holds AS h ON h.n = e.hold
        LEFT JOIN keys AS k ON k.n = h.key LEFT JOIN names AS m ON m.n = h.model
    WHERE e.n > ?1 ORDER BY e.n LIMIT ?2
"""
_NEWEST_OF_ALL = """
    SELECT e.n, a.id, e.kind, e.amount, e.reserved, e.unpaid, e.balance, e.created, h.request_id, k.id, m.text, e.basis,
        e.idem, e.note
    FROM entries AS e JOIN accounts AS a ON a.n = e.account LEFT JOIN holds AS h ON h.n = e.hold
        LEFT JOIN keys AS k ON k.n = h.key LEFT JOIN names AS m ON m.n = h.model
    WHERE ?1 = 0 OR e.n < ?1 ORDER BY e.n DESC LIMIT ?2
"""
_OLDEST = """
    SELECT e.n, a.id, e.kind, e.amount, e.reserved, e.unpaid, e.balance, e.created, h.request_id, k.id, m.text, e.basis,
        e.idem, e.note
    FROM accounts AS a CROSS JOIN entries AS e ON e.account = a.n LEFT JOIN holds AS h ON h.n = e.hold
        LEFT JOIN keys AS k ON k.n = h.key LEFT JOIN names AS m ON m.n = h.model
    WHERE a.id = ?3 AND e.n > ?1 ORDER BY e.n LIMIT ?2
"""
_NEWEST = """
    SELECT e.n, a.id, e.kind, e.amount, e.reserved, e.unpaid, e.balance, e.created, h.request_id, k.id, m.text, e.basis,
        e.idem, e.note
    FROM accounts AS a CROSS JOIN entries AS e ON e.account = a.n LEFT JOIN holds AS h ON h.n = e.hold
        LEFT JOIN keys AS k ON k.n = h.key LEFT JOIN names AS m ON m.n = h.model
    WHERE a.id = ?3 AND e.n < ?1 ORDER BY e.n DESC LIMIT ?2
"""
_OF_REQUEST = """
    SELECT e.n, a.id, e.kind, e.amount, e.reserved, e.unpaid, e.balance, e.created, h.request_id, k.id, m.text, e.basis,
        e.idem, e.note
    FROM holds AS h CROSS JOIN entries AS e ON e.account = h.account JOIN accounts AS a ON a.n = e.account
        LEFT JOIN keys AS k ON k.n = h.key LEFT JOIN names AS m ON m.n = h.model
    WHERE h.request_id = ?1 AND e.hold = h.n ORDER BY e.n
"""
_BEYOND_ALL = 2**62
MARKED_WITHIN = 1.0
"""Seconds until it is durable that a request went out. A crash before that voids the hold, one after it posts what is
known of the usage, which is nothing so far: it costs the same, and only the line in the usage log is missing."""
_PAGE = 1000


def _entry(row: Row) -> Entry:
    return Entry(
        seq=row[0],
        account_id=row[1],
        kind=KINDS[row[2]],  # type: ignore[arg-type]  # a position in EntryKind, see unit_of_work.KINDS
        amount=row[3],
        reserved=row[4],
        unpaid=row[5],
        balance=row[6],
        created_at=row[7],
        request_id=row[8] or "",
        key_id=row[9] or "",
        model=row[10] or "",
        basis=BASES[row[11] or 0],
        key=row[12] or "",
        note=row[13] or "",
    )


class SqliteLedger(Credits):
    """`gateway.stores.Ledger`."""

    def __init__(self, core: Core, secret: bytes) -> None:
        super().__init__(core, secret)
        self._writer = core.writer
        self._log = logging.getLogger("gateway.sqlite")
        self._open: set[str] = set()
        """Requests with a hold of this process."""

    async def hold(self, request: HoldRequest) -> Hold:
        """Asking again for an open hold of the same request returns it."""
        operation = HoldOperation(request, self._core.now(), self._core.process)
        held: Hold = await self._writer.submit(operation, lone=not self._open)
        self._open.add(request.request_id)
        return held

    async def grow(self, request_id: str, units: int, *, base: Decimal = Decimal(0)) -> int:
        """When not even one more unit can be paid beside `base`, nothing is changed."""
        added: int = await self._writer.submit(GrowOperation(request_id, units, base, self._core.now()))
        return added

    def mark_dispatched(self, request_id: str) -> None:
        """Goes with whatever is committed next; a call that is over by then never costs a commit for it."""
        self._writer.post(DispatchOperation(request_id, self._core.now()), within=MARKED_WITHIN)

    def note_usage(self, request_id: str, charge: int, usage: Usage) -> None:
        """The last note counts."""
        self._writer.post(NoteOperation(request_id, charge, usage, self._core.now()))

    async def settle(
        self, request_id: str, charge: int, basis: Basis, usage: Usage, model: str, *, disputed: int = 0
    ) -> int:
        """Raises GatewayFault when the charge is no integer from 0 to MAX_CREDITS, or when there
        never was a hold. Tokens are counted by the usage log, so `usage` is not stored here."""
        operation = SettleOperation(request_id, charge, basis, model, self._core.now(), disputed)
        charged: int = await self._writer.submit(operation, queue=False, lone=self._last(request_id))
        return charged

    async def void(self, request_id: str) -> None:
        """Handed to the writer past the queue, as every end of a hold is."""
        operation = VoidOperation(request_id, self._core.now())
        await self._writer.submit(operation, queue=False, lone=self._last(request_id))

    def _last(self, request_id: str) -> bool:
        """The hold of a request ends now: whether no other is open."""
        self._open.discard(request_id)
        return not self._open

    async def entries(
        self, account_id: str | None = None, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[Entry]:
        """limit: 1 to 1000."""
        most = min(max(limit, 1), _PAGE)
        if account_id is None:
            rows = await self._core.reader.rows(
                _NEWEST_OF_ALL if newest_first else _OLDEST_OF_ALL, (after, most), slow=True
            )
        elif newest_first:
            rows = await self._core.reader.rows(_NEWEST, (after or _BEYOND_ALL, most, account_id), slow=True)
        else:
            rows = await self._core.reader.rows(_OLDEST, (after, most, account_id), slow=True)
        return [_entry(row) for row in rows]

    async def entries_of(self, request_id: str) -> list[Entry]:
        """By the account of its hold."""
        return [_entry(row) for row in await self._core.reader.rows(_OF_REQUEST, (request_id,), slow=True)]

    async def export(self, account_id: str | None = None) -> AsyncIterator[Entry]:
        """Pages by the number of the entry, so no transaction stays open between them."""
        after = 0
        while page := await self.entries(account_id, after=after, limit=_PAGE):
            for entry in page:
                yield entry
            after = page[-1].seq

    async def fail_over(self, lease: str) -> int:
        """Resolve the open holds of a dead lease (`gateway.sqlite.money.recovery`), those first whose end it left in
        its journal."""
        await settle_inheritance(self._core.path, self._writer, self._core.now(), self._log)
        return await fail_over_holds(self._core, int(lease))
