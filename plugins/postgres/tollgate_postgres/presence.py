"""Leases, which expire by the database's clock."""

from __future__ import annotations

from gateway.api import GatewayFault
from gateway.api.stores import Lease, random_text
from tollgate_postgres.engine import Database
from tollgate_postgres.schema import VERSION

LIFETIME = 15.0
"""Seconds that a lease lasts without renewal."""
_JOIN = """
    INSERT INTO leases (id, expires, version) SELECT $1, gw_clock() + $2, $3
    WHERE $3 >= coalesce((SELECT value::integer FROM facts WHERE name = 'least'), 0)
"""
_RENEW = "UPDATE leases SET expires = gw_clock() + $2 WHERE id = $1 AND NOT dead"
_LEAVE = "UPDATE leases SET dead = true WHERE id = $1"
_KILL = """
    WITH over AS (SELECT id FROM leases WHERE NOT dead AND expires < gw_clock() FOR UPDATE)
    UPDATE leases SET dead = true FROM over WHERE leases.id = over.id AND leases.expires < gw_clock()
"""
_DEAD = """
    SELECT id FROM leases WHERE dead AND (
        EXISTS (SELECT 1 FROM holds WHERE state = 0 AND lease = leases.id)
        OR EXISTS (SELECT 1 FROM responses WHERE lease = leases.id))
    UNION
    SELECT lease FROM (SELECT DISTINCT lease FROM holds WHERE state = 0
        UNION SELECT DISTINCT lease FROM responses WHERE lease IS NOT NULL) AS named
    WHERE NOT EXISTS (SELECT 1 FROM leases WHERE id = named.lease)
    ORDER BY 1
"""
_TIDY = """
    DELETE FROM leases WHERE dead AND ($1 = '' OR id = $1)
        AND NOT EXISTS (SELECT 1 FROM holds WHERE state = 0 AND lease = leases.id)
        AND NOT EXISTS (SELECT 1 FROM responses WHERE lease = leases.id)
"""


class PostgresPresence:
    """`gateway.stores.Presence`. `dead` writes down first who is dead, so that he stays so; a hold locks its lease's
    row against that in the transaction that begins it."""

    def __init__(self, database: Database, *, lifetime: float = LIFETIME) -> None:
        self._database = database
        self._lifetime = lifetime
        self._lease = Lease("", lifetime)

    @property
    def lease(self) -> Lease:
        """The lease of this process."""
        return self._lease

    async def join(self) -> Lease:
        """A new one; the old one is over."""
        if self._lease.id:
            await self._database.execute(_LEAVE, self._lease.id)
        lease = Lease("lease_" + random_text(20), self._lifetime)
        if not await self._database.execute(_JOIN, lease.id, self._lifetime, VERSION):
            raise GatewayFault("The database has become too new for this gateway. Install a newer one.")
        self._lease = lease
        return lease

    async def renew(self) -> bool:
        """Also measures the clocks' distance anew."""
        if self._database.tests_clock is None:
            await self._database.measure_clock()
        return await self._database.execute(_RENEW, self._lease.id, self._lifetime) > 0

    async def leave(self) -> None:
        """Written down as dead at once; the row goes when nothing names it."""
        await self._database.execute(_LEAVE, self._lease.id)
        await self._database.execute(_TIDY, self._lease.id)

    async def dead(self) -> list[str]:
        """Those that are over, now and for good, and those that are only named."""
        await self._database.execute(_KILL)
        await self._database.execute(_TIDY, "")
        return [row[0] for row in await self._database.rows(_DEAD)]

    async def bury(self, lease: str) -> None:
        """Its row goes, and the batches that were kept for it."""
        await self._database.execute("DELETE FROM leases WHERE id = $1", lease)
        await self._database.execute("DELETE FROM lanes WHERE lease = $1", lease)
