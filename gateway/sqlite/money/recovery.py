"""Open holds of dead processes, resolved.

Not dispatched: voided, nothing can have happened upstream. Dispatched: posted with the usage known so far, basis
`estimated`. When nothing is known yet, that is a charge of zero: no byte of an answer was noted as delivered, and a
customer is not billed an upper bound for a crash of the operator's. (Whoever dispatches may note the cost of the input
at once with `note_usage`.) A request that reached its upstream is also entered in the usage log.
"""

from __future__ import annotations

import asyncio
import sqlite3

from gateway.call import Usage
from gateway.sqlite.engine.core import Core
from gateway.sqlite.engine.presence import bury, folder_of, is_dead
from gateway.sqlite.money.operations import charge_hold, log_row, void_hold
from gateway.sqlite.money.unit_of_work import BASIS_NUMBER, FORSAKEN, OPEN, HoldRow, Names, UnitOfWork
from gateway.stores import UsageRow

CRASHED = "gateway_crash"
"""The error under which such requests appear in the usage log."""
_AT_ONCE = 500
# A process that signed off has no row any more; what it may have left open is nobody's, as numbers are not reused.
_OTHERS = """
    SELECT n, token FROM processes WHERE n != ?1
    UNION ALL
    SELECT DISTINCT process, '' FROM holds
    WHERE state = 0 AND process != ?1 AND process NOT IN (SELECT n FROM processes)
"""
_OPEN_HOLDS = "SELECT request_id FROM holds WHERE state = 0 AND process = ? ORDER BY n LIMIT ?"
_FORGET = "DELETE FROM processes WHERE n = ?"


async def fail_over_holds(core: Core) -> int:
    """See `gateway.stores.Ledger.fail_over_holds`. Works in pieces, so that running calls are not kept waiting."""
    folder = folder_of(core.path)
    others = await core.reader.rows(_OTHERS, (core.process,), slow=True)
    dead = await asyncio.to_thread(lambda: [(n, token) for n, token in others if not token or is_dead(folder, token)])
    resolved = 0
    for number, token in dead:
        resolved += await _inherit(core, number)
        if token:
            await asyncio.to_thread(bury, folder, token)
    return resolved


async def _inherit(core: Core, process: int) -> int:
    """Resolve everything of one dead process, then forget it."""

    def resolve(connection: sqlite3.Connection, names: Names) -> int:
        return _resolve(connection, names, process, core.now())

    def forget(connection: sqlite3.Connection, _: Names) -> None:
        connection.execute(_FORGET, (process,))

    resolved = 0
    while done := await core.write(resolve):
        resolved += done
    await core.write(forget)
    return resolved


def _resolve(connection: sqlite3.Connection, names: Names, process: int, now: int) -> int:
    found = [row[0] for row in connection.execute(_OPEN_HOLDS, (process, _AT_ONCE))]
    book = UnitOfWork(connection, names)
    book.load(found)
    book.load_months({(hold.key, hold.period) for hold in book.holds.values()})
    for hold in book.holds.values():
        if hold.state != OPEN:
            continue
        if hold.dispatched:
            _log(book, hold, now)
            charge_hold(book, hold, hold.known or 0, BASIS_NUMBER["estimated"], None, now)
        else:
            void_hold(book, hold, FORSAKEN, now)
    book.flush()
    return len(found)


def _log(book: UnitOfWork, hold: HoldRow, now: int) -> None:
    if hold.logged:
        return
    hold.logged = 1
    usage = Usage(prompt_tokens=hold.known_prompt or 0, completion_tokens=hold.known_completion or 0)
    row = UsageRow(
        request_id=hold.request_id,
        account_id="",
        key_id="",
        model="",
        target="",
        route="",
        status=500,
        usage=usage,
        basis="estimated",
        created=hold.created,
        total_ms=max(now - hold.created, 0) * 1000,
        error=CRASHED,
    )
    log_row(book, row, hold.account, hold.key, hold.model, hold.created, hold)
