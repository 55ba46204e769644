"""The usage log, in one partition for each month; `GET /usage` reads only the daily sums."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from gateway.api import Usage
from gateway.api.stores import (
    ALL_USE,
    LoggedRequest,
    TagSum,
    UsageFilter,
    UsageRow,
    UsageSummary,
    counts_of,
    summed_up,
)
from tollgate_postgres.engine import REPORT_WITHIN, Database
from tollgate_postgres.lanes import Lanes
from tollgate_postgres.ledger import BASES, written_tags

if TYPE_CHECKING:
    import asyncpg

_DAY = 86_400
_SUMS = """
    SELECT r.day, r.model, coalesce(k.id, ''), sum(r.credits)::bigint, sum(r.requests)::bigint, sum(r.tokens)::bigint,
        sum(r.images)::bigint, sum(r.characters)::bigint, sum(r.seconds)::bigint, sum(r.searches)::bigint
    FROM rollups AS r JOIN accounts AS a ON a.n = r.account LEFT JOIN keys AS k ON k.n = r.key
    WHERE a.id = $1 AND r.day >= $2 AND r.day < $3 AND ($4::text IS NULL OR coalesce(k.id, '') = $4)
    GROUP BY r.day, r.model, k.id
"""
_RECENT = """
    SELECT * FROM gw_usage WHERE ($1 = 0 OR n < $1) AND n > $9 AND ($3::text[] IS NULL OR key = ANY ($3))
        AND ($4 = '' OR model = $4) AND (NOT $5 OR status >= 400) AND ($6::text IS NULL OR account = $6)
        AND ($7::text IS NULL OR tags ->> $7 = $8)
    ORDER BY n DESC LIMIT $2
"""
_NEXT = """
    SELECT * FROM (
        SELECT * FROM gw_usage WHERE n > $1 AND ($3::text[] IS NULL OR key = ANY ($3)) AND ($4 = '' OR model = $4)
            AND (NOT $5 OR status >= 400) AND ($6::text IS NULL OR account = $6)
            AND ($7::text IS NULL OR tags ->> $7 = $8)
        ORDER BY n LIMIT $2) AS page
    ORDER BY n DESC
"""
# `OFFSET 0`: else the planner may walk the whole log in its order until it meets the one row.
_FIND = """
    SELECT * FROM (SELECT * FROM gw_usage WHERE request_id = $1 OFFSET 0) AS found ORDER BY n LIMIT 1
"""
_BY_TAG = """
    SELECT s.value, sum(s.credits)::bigint, sum(s.requests)::bigint, sum(s.tokens)::bigint
    FROM tag_sums AS s JOIN accounts AS a ON a.n = s.account LEFT JOIN keys AS k ON k.n = s.key
    WHERE a.id = $1 AND s.name = $2 AND s.day >= $3 AND s.day < $4 AND ($5::text IS NULL OR coalesce(k.id, '') = $5)
    GROUP BY s.value ORDER BY 2 DESC, s.value COLLATE "C"
"""
_AT_ONCE = 2000
# Of the month that retention ends in, from its oldest rows on, so that what is read is about what goes. The whole
# months before it are dropped; one that somebody reads just now is not deleted row by row in the place of that.
_PRUNE = """
    DELETE FROM usage WHERE created >= $2 AND created < $3 AND created < $1
        AND n = ANY (ARRAY(SELECT n FROM usage WHERE created >= $2 AND created < $3 ORDER BY n LIMIT $4))
"""
# Rows of a wrong clock, which have no month of their own.
_PRUNE_OTHER = """
    DELETE FROM usage_other WHERE created < $1
        AND n = ANY (ARRAY(SELECT n FROM usage_other WHERE created < $1 LIMIT $2))
"""


def month_bounds(start: datetime, ahead: int = 0) -> tuple[str, int, int]:
    """The month of a time, or one of the next: its name (`202611`), its first second, and the first of the next."""
    number = start.year * 12 + start.month - 1 + ahead
    first, beyond = (datetime(one // 12, one % 12 + 1, 1, tzinfo=UTC) for one in (number, number + 1))
    return f"{first:%Y%m}", int(first.timestamp()), int(beyond.timestamp())


class PostgresUsage:
    """`gateway.stores.UsageLog`."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    def record(self, row: UsageRow) -> None:
        """With the next batch of the request's lane, so before its end is written."""
        self._lanes.for_request(row.request_id).post(
            {
                "do": "record", "r": row.request_id, "a": row.account_id, "k": row.key_id, "d": row.model,
                "t": row.target, "o": row.route, "x": row.status, "s": BASES.index(row.basis), "at": row.created,
                "c": counts_of(row.usage), "f": row.first_byte_ms, "w": row.total_ms,
                "z": row.error, "g": written_tags(row.tags), "y": row.tries,
            }
        )  # fmt: skip

    async def summary(self, account_id: str, *, start: int, end: int, key_id: str | None = None) -> UsageSummary:
        """From the sums of days."""
        rows = await self._database.rows(
            _SUMS, account_id, start // _DAY, -(-end // _DAY), key_id, within=REPORT_WITHIN
        )
        balance = await self._database.value("SELECT balance FROM accounts WHERE id = $1", account_id)
        return summed_up(balance or 0, rows)

    async def by_tag(
        self, account_id: str, name: str, *, start: int, end: int, key_id: str | None = None
    ) -> list[TagSum]:
        """From the sums of days."""
        rows = await self._database.rows(
            _BY_TAG, account_id, name, start // _DAY, -(-end // _DAY), key_id, within=REPORT_WITHIN
        )
        return [TagSum(*row) for row in rows]

    async def recent(
        self, account_id: str | None = None, *, before: int = 0, limit: int = 50, only: UsageFilter = ALL_USE
    ) -> list[LoggedRequest]:
        """Newest first, by the index of the account."""
        most, chosen = min(max(limit, 1), 1000), (list(only.key_ids) or None, only.model, only.failed, account_id)
        tag = only.tag or (None, None)
        if only.after and not before:
            rows = await self._database.rows(_NEXT, only.after, most, *chosen, *tag, within=REPORT_WITHIN)
        else:
            rows = await self._database.rows(_RECENT, before, most, *chosen, *tag, only.after, within=REPORT_WITHIN)
        return [_logged(row) for row in rows]

    async def find(self, request_id: str) -> LoggedRequest | None:
        """By the index of requests."""
        row = await self._database.row(_FIND, request_id)
        return None if row is None else _logged(row)

    async def make_partitions(self) -> None:
        """Have the partitions of this month and the next two."""
        start = datetime.fromtimestamp(self._database.time(), UTC)
        for ahead in range(3):
            await self._database.value(
                "SELECT gw_make_partition($1, $2, $3)", *month_bounds(start, ahead), within=REPORT_WITHIN
            )

    async def prune(self, before: int) -> int:
        """Whole months are dropped; the rest goes in pieces."""
        month, first, beyond = month_bounds(datetime.fromtimestamp(min(before, self._database.time()), UTC))
        gone = int(await self._database.value("SELECT gw_drop_partitions($1)", month, within=REPORT_WITHIN))
        for sql, values in ((_PRUNE, (before, first, beyond, _AT_ONCE)), (_PRUNE_OTHER, (before, _AT_ONCE))):
            done = _AT_ONCE
            while done == _AT_ONCE:
                done = await self._database.execute(sql, *values, within=REPORT_WITHIN)
                gone += done
        return gone


def _logged(row: asyncpg.Record) -> LoggedRequest:
    return LoggedRequest(
        seq=row[0],
        credits=row[1],
        row=UsageRow(
            request_id=row[2],
            account_id=row[3],
            key_id=row[4],
            model=row[5],
            target=row[6],
            route=row[7],
            status=row[8],
            usage=Usage(*row[14]),
            basis=BASES[row[9]],
            created=row[10],
            first_byte_ms=row[11],
            total_ms=row[12],
            error=row[13],
            tags=tuple(orjson.loads(row[15]).items()) if row[15] else (),
            tries=row[16],
        ),
    )
