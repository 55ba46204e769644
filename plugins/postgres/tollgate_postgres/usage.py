"""The usage log, in one partition for each month; `GET /usage` reads only the daily sums."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.api import Usage
from gateway.api.stores import MAX_CREDITS, LoggedRequest, UsageRow, UsageSummary
from tollgate_postgres.engine import Database
from tollgate_postgres.lanes import Lanes
from tollgate_postgres.ledger import BASES

if TYPE_CHECKING:
    import asyncpg

_DAY = 86_400
_EPOCH = date(1970, 1, 1)
_SUMS = """
    SELECT r.day, r.model, sum(r.credits)::bigint, sum(r.requests)::bigint, sum(r.tokens)::bigint
    FROM rollups AS r JOIN accounts AS a ON a.n = r.account
    WHERE a.id = $1 AND r.day >= $2 AND r.day < $3
        AND ($4::text IS NULL OR r.key = (SELECT n FROM keys WHERE id = $4))
    GROUP BY r.day, r.model
"""
_RECENT = """
    SELECT u.n, coalesce(h.charged, 0), u.request_id, a.id, coalesce(k.id, ''), u.model, u.target, u.route, u.status,
        u.basis, u.created, u.first_byte_ms, u.total_ms, u.error, u.counts
    FROM usage AS u JOIN accounts AS a ON a.n = u.account LEFT JOIN keys AS k ON k.n = u.key
        LEFT JOIN holds AS h ON h.n = u.hold
    WHERE ($1 = 0 OR u.n < $1) AND ($3::text IS NULL OR u.key = (SELECT n FROM keys WHERE id = $3))
        AND ($4::text IS NULL OR u.account = (SELECT n FROM accounts WHERE id = $4))
    ORDER BY u.n DESC LIMIT $2
"""
_PRUNE = """
    DELETE FROM usage WHERE n IN (SELECT n FROM usage WHERE created < $1 ORDER BY n LIMIT 2000) AND created < $1
"""


def _month(start: datetime, months: int) -> datetime:
    number = start.year * 12 + start.month - 1 + months
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


class PostgresUsage:
    """`gateway.stores.UsageLog`."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    def record(self, row: UsageRow) -> None:
        """With the next batch of the request's lane, so before its end is written."""
        u = row.usage
        counts = (
            u.prompt_tokens, u.completion_tokens, u.cached_tokens, u.cache_write_tokens, u.reasoning_tokens,
            u.audio_input_tokens, u.audio_output_tokens, u.image_input_tokens, u.image_output_tokens, u.web_searches,
        )  # fmt: skip
        self._lanes.for_request(row.request_id).post(
            {
                "do": "record", "r": row.request_id, "a": row.account_id, "k": row.key_id, "d": row.model,
                "t": row.target, "o": row.route, "x": row.status, "s": BASES.index(row.basis), "at": row.created,
                "c": [min(max(int(count), 0), MAX_CREDITS) for count in counts], "f": row.first_byte_ms,
                "w": row.total_ms, "z": row.error,
            }
        )  # fmt: skip

    async def summary(self, account_id: str, *, start: int, end: int, key_id: str | None = None) -> UsageSummary:
        """From the sums of days."""
        rows = await self._database.rows(_SUMS, account_id, start // _DAY, -(-end // _DAY), key_id)
        balance = await self._database.value("SELECT balance FROM accounts WHERE id = $1", account_id)
        days: dict[int, tuple[int, int]] = {}
        models: dict[str, int] = {}
        for day, model, credits, requests, _ in rows:
            before = days.get(day, (0, 0))
            days[day] = (before[0] + credits, before[1] + requests)
            models[model] = models.get(model, 0) + credits
        return UsageSummary(
            balance=balance or 0,
            credits=sum(models.values()),
            tokens=sum(row[4] for row in rows),
            requests=sum(requests for _, requests in days.values()),
            daily=tuple((_day_name(day), *days[day]) for day in sorted(days)),
            by_model=tuple(sorted(models.items(), key=lambda pair: (-pair[1], pair[0]))),
        )

    async def recent(
        self, account_id: str | None = None, *, before: int = 0, limit: int = 50, key_id: str | None = None
    ) -> list[LoggedRequest]:
        """Newest first, by the index of the account."""
        rows = await self._database.rows(_RECENT, before, min(max(limit, 1), 1000), key_id, account_id)
        return [_logged(row) for row in rows]

    async def make_partitions(self) -> None:
        """Have the partitions of this month and the next two."""
        start = datetime.fromtimestamp(self._database.time(), UTC)
        for ahead in range(3):
            first, beyond = _month(start, ahead), _month(start, ahead + 1)
            await self._database.value(
                "SELECT gw_make_partition($1, $2, $3)",
                f"{first:%Y%m}", int(first.timestamp()), int(beyond.timestamp()),
            )  # fmt: skip

    async def prune(self, before: int) -> int:
        """Whole months are dropped; the rest goes in pieces."""
        month = f"{datetime.fromtimestamp(min(before, self._database.time()), UTC):%Y%m}"
        gone = int(await self._database.value("SELECT gw_drop_partitions($1)", month))
        while done := await self._database.execute(_PRUNE, before):
            gone += done
        return gone


def _day_name(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


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
        ),
    )
