"""The usage log on SQLite. `GET /usage` reads only the daily sums, so ten million rows cost it no more than ten."""

from __future__ import annotations

import orjson

from gateway.api import Usage
from gateway.api.stores import ALL_USE, LoggedRequest, TagSum, UsageFilter, UsageRow, UsageSummary, summed_up
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.money.recording import RecordOperation
from gateway.sqlite.money.rows import to_json
from gateway.sqlite.money.unit_of_work import BASES

_DAY = 86_400
_SUMS = """
    SELECT r.day, m.text, coalesce(k.id, ''), sum(r.credits), sum(r.requests), sum(r.prompt + r.completion),
        sum(r.images), sum(r.characters), sum(r.seconds), sum(r.searches)
    FROM accounts AS a CROSS JOIN rollups AS r ON r.account = a.n JOIN names AS m ON m.n = r.model
        LEFT JOIN keys AS k ON k.n = r.key
    WHERE a.id = ?1 AND r.day >= ?2 AND r.day < ?3 GROUP BY r.day, r.model, r.key
"""
_SUMS_OF_KEY = """
    SELECT r.day, m.text, ?4, sum(r.credits), sum(r.requests), sum(r.prompt + r.completion),
        sum(r.images), sum(r.characters), sum(r.seconds), sum(r.searches)
    FROM accounts AS a CROSS JOIN rollups AS r ON r.account = a.n JOIN names AS m ON m.n = r.model
    WHERE a.id = ?1 AND r.day >= ?2 AND r.day < ?3 AND r.key = CASE WHEN ?4 = '' THEN 0
        ELSE (SELECT n FROM keys WHERE id = ?4) END
    GROUP BY r.day, r.model
"""
_BALANCE = "SELECT balance FROM accounts WHERE id = ?"
_RECENT_OF_ALL = """
    SELECT u.n, coalesce(h.charged, 0) - (SELECT coalesce(sum(amount), 0) FROM entries WHERE hold = h.n AND kind = 7),
        coalesce(h.request_id, u.request_id, ''), a.id, coalesce(k.id, ''), m.text, coalesce(t.text, ''), r.text,
        u.status, u.basis, u.created, u.first_byte_ms, u.total_ms, coalesce(e.text, ''), u.prompt, u.completion,
        u.cached, u.cache_write, u.reasoning, u.audio_input, u.audio_output, u.image_input, u.image_output,
        u.web_searches, u.cache_write_1h, u.images, u.characters, u.seconds, u.searches, u.tags, coalesce(u.tries, '')
    FROM usage AS u JOIN accounts AS a ON a.n = u.account JOIN names AS m ON m.n = u.model
        JOIN names AS r ON r.n = u.route LEFT JOIN keys AS k ON k.n = u.key LEFT JOIN holds AS h ON h.n = u.hold
        LEFT JOIN names AS t ON t.n = u.target LEFT JOIN names AS e ON e.n = u.error
    WHERE u.n < ?1 AND (?3 IS NULL OR coalesce(k.id, '') IN (SELECT value FROM json_each(?3)))
        AND (?4 = '' OR m.text = ?4) AND (?5 = 0 OR u.status >= 400)
        AND (?6 IS NULL OR EXISTS (SELECT 1 FROM json_each(u.tags) AS g WHERE g.key = ?6 AND g.value = ?7))
    ORDER BY u.n DESC LIMIT ?2
"""
_RECENT = """
    SELECT u.n, coalesce(h.charged, 0) - (SELECT coalesce(sum(amount), 0) FROM entries WHERE hold = h.n AND kind = 7),
        coalesce(h.request_id, u.request_id, ''), a.id, coalesce(k.id, ''), m.text, coalesce(t.text, ''), r.text,
        u.status, u.basis, u.created, u.first_byte_ms, u.total_ms, coalesce(e.text, ''), u.prompt, u.completion,
        u.cached, u.cache_write, u.reasoning, u.audio_input, u.audio_output, u.image_input, u.image_output,
        u.web_searches, u.cache_write_1h, u.images, u.characters, u.seconds, u.searches, u.tags, coalesce(u.tries, '')
    FROM accounts AS a CROSS JOIN usage AS u ON u.account = a.n JOIN names AS m ON m.n = u.model
        JOIN names AS r ON r.n = u.route LEFT JOIN keys AS k ON k.n = u.key LEFT JOIN holds AS h ON h.n = u.hold
        LEFT JOIN names AS t ON t.n = u.target LEFT JOIN names AS e ON e.n = u.error
    WHERE a.id = ?8 AND u.n < ?1 AND (?3 IS NULL OR coalesce(k.id, '') IN (SELECT value FROM json_each(?3)))
        AND (?4 = '' OR m.text = ?4) AND (?5 = 0 OR u.status >= 400)
        AND (?6 IS NULL OR EXISTS (SELECT 1 FROM json_each(u.tags) AS g WHERE g.key = ?6 AND g.value = ?7))
    ORDER BY u.n DESC LIMIT ?2
"""
# Of a request that had a hold the account is known, which has an index; the second half looks through the whole log.
_NUMBER_OF = """
    SELECT u.n FROM holds AS h CROSS JOIN usage AS u ON u.account = h.account WHERE h.request_id = ?1 AND u.hold = h.n
    UNION ALL SELECT n FROM usage WHERE request_id = ?1 LIMIT 1
"""
_NEXT_NUMBERS = """
    SELECT u.n FROM usage AS u JOIN names AS m ON m.n = u.model LEFT JOIN keys AS k ON k.n = u.key
    WHERE u.n > ?1 AND (?8 IS NULL OR u.account = (SELECT n FROM accounts WHERE id = ?8))
        AND (?3 IS NULL OR coalesce(k.id, '') IN (SELECT value FROM json_each(?3)))
        AND (?4 = '' OR m.text = ?4) AND (?5 = 0 OR u.status >= 400)
        AND (?6 IS NULL OR EXISTS (SELECT 1 FROM json_each(u.tags) AS g WHERE g.key = ?6 AND g.value = ?7))
    ORDER BY u.n LIMIT ?2
"""
_BY_TAG = """
    SELECT s.value, sum(s.credits), sum(s.requests), sum(s.tokens)
    FROM accounts AS a CROSS JOIN tag_sums AS s ON s.account = a.n LEFT JOIN keys AS k ON k.n = s.key
    WHERE a.id = ?1 AND s.name = ?2 AND s.day >= ?3 AND s.day < ?4 AND (?5 IS NULL OR coalesce(k.id, '') = ?5)
    GROUP BY s.value ORDER BY 2 DESC, 1
"""
_PRUNE = "DELETE FROM usage WHERE n IN (SELECT n FROM usage ORDER BY n LIMIT ?2) AND created < ?1"
_BEYOND_ALL = 2**62
_PRUNE_AT_ONCE = 2000


def _logged(row: Row) -> LoggedRequest:
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
            usage=Usage(*row[14:29]),
            basis=BASES[row[9]],  # type: ignore[arg-type]  # a position in unit_of_work.BASES
            created=row[10],
            first_byte_ms=row[11],
            total_ms=row[12],
            error=row[13],
            tags=tuple(orjson.loads(row[29]).items()) if row[29] else (),
            tries=row[30],
        ),
    )


class SqliteUsage:
    """`gateway.stores.UsageLog`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def record(self, row: UsageRow) -> None:
        """Handed to the writer; a copy, so that the caller may go on with its own."""
        self._core.writer.post(RecordOperation(row, self._core.now()))

    async def summary(self, account_id: str, *, start: int, end: int, key_id: str | None = None) -> UsageSummary:
        """Times inside a day stand for the whole day. The balance is the account's, also with a
        key; zero when there is no such account."""
        first, beyond = start // _DAY, -(-end // _DAY)
        if key_id is None:
            rows = await self._core.reader.rows(_SUMS, (account_id, first, beyond), slow=True)
        else:
            rows = await self._core.reader.rows(_SUMS_OF_KEY, (account_id, first, beyond, key_id), slow=True)
        balance = await self._core.reader.row(_BALANCE, (account_id,))
        return summed_up(balance[0] if balance is not None else 0, rows)

    async def by_tag(
        self, account_id: str, name: str, *, start: int, end: int, key_id: str | None = None
    ) -> list[TagSum]:
        """From the sums of days."""
        values = (account_id, name, start // _DAY, -(-end // _DAY), key_id)
        return [TagSum(*row) for row in await self._core.reader.rows(_BY_TAG, values, slow=True)]

    async def recent(
        self, account_id: str | None = None, *, before: int = 0, limit: int = 50, only: UsageFilter = ALL_USE
    ) -> list[LoggedRequest]:
        """A page; going forwards, first the numbers of its rows are looked up."""
        reader, bound, most = self._core.reader, before or _BEYOND_ALL, min(max(limit, 1), 1000)
        keys = to_json(only.key_ids) if only.key_ids else None
        chosen = (keys, only.model, int(only.failed), *(only.tag or (None, None)))
        if only.after:
            numbers = await reader.rows(_NEXT_NUMBERS, (only.after, most, *chosen, account_id), slow=True)
            if not numbers:
                return []
            bound, most = numbers[-1][0] + 1, len(numbers)
        if account_id is None:
            rows = await reader.rows(_RECENT_OF_ALL, (bound, most, *chosen), slow=True)
        else:
            rows = await reader.rows(_RECENT, (bound, most, *chosen, account_id), slow=True)
        return [_logged(row) for row in rows]

    async def find(self, request_id: str) -> LoggedRequest | None:
        """First the number of its row is looked up."""
        numbers = await self._core.reader.rows(_NUMBER_OF, (request_id,), slow=True)
        return (await self.recent(before=numbers[0][0] + 1, limit=1))[0] if numbers else None

    async def prune(self, before: int) -> int:
        """Works in pieces from the oldest row on, so that running calls are not kept waiting."""
        return await self._core.drop(_PRUNE, before, _PRUNE_AT_ONCE)
