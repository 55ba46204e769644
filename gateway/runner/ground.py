"""What calls are billed by, and whether it holds: no call begins while its bill could not be written."""

from __future__ import annotations

import asyncio
import logging

from gateway.errors import GatewayFault
from gateway.pipeline import Unfinished
from gateway.runner.unwritten import Unwritten
from gateway.stores import DISK_FULL, Stores

_EVERY = 1.0
"""Seconds between two looks."""


class Ground:
    """The stores of one process as they were when last looked at.

    fault: what is wrong with them, None for nothing. unwritten: ends of calls that wait to be written.
    """

    def __init__(self) -> None:
        self.fault: GatewayFault | None = None
        self.unwritten = Unwritten()

    async def watch(self, stores: Stores, log: logging.Logger) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.look(stores, log)

    async def look(self, stores: Stores, log: logging.Logger) -> None:
        """Ask the stores whether they are well."""
        found: GatewayFault | None = None
        try:
            await stores.ping()
        except Exception as error:  # whatever the database says, it is reported, not raised
            found = error if isinstance(error, GatewayFault) else _away(error)
        before, self.fault = self.fault, found
        if found is None:
            if before is not None:
                log.warning("the database is well again")
        elif before is None or before.message != found.message:
            log.error("the database is not well: %s", found.message, extra={"detail": found.detail})

    def problems(self) -> list[str]:
        """Why this process should get no requests just now, in a word each."""
        problems = []
        if self.fault is not None:
            problems.append("disk" if self.fault.code == DISK_FULL else "database")
        if len(self.unwritten):
            problems.append("settlements")
        return problems

    def check(self) -> None:
        """Raise GatewayFault (503) while a bill could not be written."""
        found = self.fault
        if found is None and not len(self.unwritten):
            return
        raise GatewayFault(
            found.message if found is not None else "Bills of earlier calls cannot be written just now; try again.",
            status=503,
            code=(found.code if found is not None else None) or "database_unavailable",
            retry_after=2.0,
        )

    def keep(self, unfinished: Unfinished, log: logging.Logger) -> None:
        """The end of a call could not be written: keep it, and try again until it is."""
        self.unwritten.add(unfinished, log)


def _away(error: Exception) -> GatewayFault:
    return GatewayFault("The gateway's database does not answer.", status=503, detail=repr(error))
