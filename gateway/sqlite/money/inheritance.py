"""Ends of calls that a process left in its journal when it died: written by whoever comes next.

Done before the holds of the dead are resolved, so what a call really cost counts, and not what was known of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.api import Fault, GatewayFault, Usage
from gateway.api.stores import UsageRow, inherited
from gateway.sqlite.engine.writer import Writer
from gateway.sqlite.money.operations import SettleOperation, UnitOperation, VoidOperation
from gateway.sqlite.money.recording import RecordOperation

_AT_ONCE = 200


def journals_of(database: Path) -> tuple[Path, str]:
    """The folder of the journals of a database's processes, and how their names begin."""
    return database.parent, database.name + "-pending-"


async def settle_inheritance(database: Path, writer: Writer, now: int, log: logging.Logger) -> int:
    """Write what is in the journals of processes that are gone; returns how many ends of calls there were. Idempotent.
    Raises GatewayFault (503), keeping the journals, while the database takes nothing."""
    paths, kept = await asyncio.to_thread(inherited, *journals_of(database))
    for begin in range(0, len(kept), _AT_ONCE):
        operations = [_read(one, now, log) for one in kept[begin : begin + _AT_ONCE]]
        done = await asyncio.gather(
            *(writer.submit(one, queue=False) for one in operations if one is not None), return_exceptions=True
        )
        for fault in done:
            if isinstance(fault, Fault) and not _away(fault):
                log.error("an end of a call that a dead process left was refused: %s", fault.message)
            elif isinstance(fault, BaseException):
                raise fault
    for path in paths:
        await asyncio.to_thread(path.unlink, missing_ok=True)
    if kept:
        log.warning("wrote %d ends of calls that a dead process had left", len(kept))
    return len(kept)


def _away(fault: Fault) -> bool:
    return isinstance(fault, GatewayFault) and fault.status == 503


def _read(line: Mapping[str, Any], now: int, log: logging.Logger) -> UnitOperation | None:
    """The operation of a line of a journal; None, and a word in the log, for one that this gateway does not know."""
    try:
        if line["do"] == "settle":
            return SettleOperation(line["r"], line["charge"], line["basis"], line["model"], now, line["disputed"])
        if line["do"] == "void":
            return VoidOperation(line["r"], now)
        row = dict(line["row"])
        row["usage"] = Usage(**row["usage"])
        row["tags"] = tuple(tuple(tag) for tag in row["tags"])
        return RecordOperation(UsageRow(**row), now, inherited=True)
    except (KeyError, TypeError, GatewayFault):
        log.error("a line in the journal of a dead process is not understood", extra={"detail": str(line)[:300]})
        return None
