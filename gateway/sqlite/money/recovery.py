"""Open holds of dead processes, resolved.

Not dispatched: voided, nothing can have happened upstream. Dispatched: posted with the usage known so far, basis
`estimated`. When nothing is known yet, that is a charge of zero: no byte of an answer was noted as delivered, and a
customer is not billed an upper bound for a crash of the operator's. (Whoever dispatches may note the cost of the input
at once with `note_usage`.) A request that reached its upstream is also entered in the usage log.
"""

from __future__ import annotations

import sqlite3

from gateway.api import Usage
from gateway.api.stores import CRASHED, UsageRow, counts_of
from gateway.sqlite.engine.core import Core
from gateway.sqlite.money.operations import charge_hold, void_hold
from gateway.sqlite.money.recording import log_row
from gateway.sqlite.money.rows import FORSAKEN, OPEN, HoldRow
from gateway.sqlite.money.unit_of_work import BASIS_NUMBER, Names, UnitOfWork

_AT_ONCE = 500
_ANY = "SELECT 1 FROM holds WHERE state = 0 AND process = ? LIMIT 1"
_OPEN_HOLDS = "SELECT request_id FROM holds WHERE state = 0 AND process = ? ORDER BY n LIMIT ?"


async def fail_over_holds(core: Core, process: int) -> int:
    """See `gateway.stores.Ledger.fail_over`. Works in pieces, so that running calls are not kept waiting; each piece
    looks for holds that are still open, so several processes may do it at once."""

    def resolve(connection: sqlite3.Connection, names: Names) -> int:
        return _resolve(connection, names, process, core.now())

    resolved = 0
    # Most of the time there are none, and then the disk need not be asked for anything.
    while await core.reader.row(_ANY, (process,)) is not None:
        resolved += await core.write(resolve)
    return resolved


def _resolve(connection: sqlite3.Connection, names: Names, process: int, now: int) -> int:
    found = [row[0] for row in connection.execute(_OPEN_HOLDS, (process, _AT_ONCE))]
    unit = UnitOfWork(connection, names)
    unit.load(found)
    unit.load_months({(hold.key, hold.period) for hold in unit.holds.values()})
    for hold in unit.holds.values():
        if hold.state != OPEN:
            continue
        if hold.dispatched:
            _log(unit, hold, now)
            charge_hold(unit, hold, hold.known or 0, BASIS_NUMBER["estimated"], None, now)
        else:
            void_hold(unit, hold, FORSAKEN, now)
    unit.flush()
    return len(found)


def _log(unit: UnitOfWork, hold: HoldRow, now: int) -> None:
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
    log_row(unit, row, counts_of(usage), hold.account, hold.key, hold.model, hold.created, hold)
