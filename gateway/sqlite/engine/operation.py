"""What a writer is given to do, and how it fails."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from gateway.api import Fault, GatewayFault


class Operation:
    """One thing to do in the writer's transaction. Applied at least once until it is committed exactly once:
    `apply` may run again when a batch was rolled back, so it keeps no state of its own."""

    __slots__ = ("fault", "future", "result")

    outlives_power: ClassVar[bool] = True
    """Whether it must be on the disk when it is done. What need not be may be lost with the machine's power, and then
    with all that was committed after it; the end of the process it outlives in any case."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] | None = None
        self.result: Any = None
        self.fault: Fault | None = None

    @property
    def kept_as(self) -> tuple[str, str] | None:
        """The name in the journal (`do`, request id) of what must not be lost with the process; None for the rest."""
        return None

    def written(self) -> Mapping[str, Any]:
        """Its line there; see `Journal.keep`. Only of what has a name."""
        raise NotImplementedError


Runner = Callable[[sqlite3.Connection, Sequence[Operation]], None]
"""Runs operations inside an open transaction, setting `result` or `fault` (nothing changed) of each. An exception
means that the transaction must be rolled back."""


def unavailable(problem: BaseException) -> GatewayFault:
    """The fault of everybody whose batch could not be committed: the disk's (503), or a bug of ours (500)."""
    if not isinstance(problem, sqlite3.OperationalError):
        return GatewayFault("The gateway failed while booking; nothing was changed.", detail=repr(problem))
    return GatewayFault(
        "The gateway's database is not available; nothing was changed. Try again.",
        status=503,
        code="database_unavailable",
        retry_after=1.0,
        detail=repr(problem),
    )
