"""All that the database keeps, as the rows of `gateway.stores.transfer`, out of it and into it.

Reading is one transaction that sees one state; writing is one transaction of COPYs, so that a copy is there whole or
not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

from gateway.api import Usage
from gateway.api.stores import TABLES, Row, Snapshot, at_once, counts_of, not_empty, to_positions, to_words
from tollgate_postgres.engine import away, connect, is_away
from tollgate_postgres.ledger import BASES, KINDS, written_tags
from tollgate_postgres.responses import item_ids
from tollgate_postgres.usage import month_bounds

if TYPE_CHECKING:
    import asyncpg

_PATIENCE = 86_400.0
"""Seconds for one statement of a copy: there is no clock but the operator's."""
NOBODY = "copied"
"""The lease of what ran when it was copied. Nobody holds it, so it is found dead."""
READ: Mapping[str, str] = MappingProxyType(
    {
        "accounts": "SELECT n, id, name, role, balance, held, requests_per_minute, disabled, created, "
        "alert_thresholds FROM accounts ORDER BY n",
        "answers": "SELECT name, account, body, request_id, expires, status, headers, content "
        "FROM answers ORDER BY name",
        "audit": "SELECT n, at, actor, remote, action, subject, detail FROM audit ORDER BY n",
        "conversation_items": "SELECT n, conversation, id, item FROM conversation_items ORDER BY n",
        "conversations": "SELECT n, id, account, created, expires, metadata FROM conversations ORDER BY n",
        "entries": "SELECT n, account, kind, amount, reserved, unpaid, balance, created, hold, basis, idem, note "
        "FROM entries ORDER BY n",
        "holds": "SELECT n, request_id, account, key, period, created, model, amount, units, state, charged, logged, "
        "target, state = 0 AND dispatched, CASE WHEN state = 0 THEN base END, CASE WHEN state = 0 THEN unit_price END, "
        "CASE WHEN state = 0 THEN ceiling END, CASE WHEN state = 0 THEN known END, "
        "CASE WHEN state = 0 THEN known_prompt END, CASE WHEN state = 0 THEN known_completion END, tags "
        "FROM holds ORDER BY n",
        "identities": 'SELECT issuer, subject, account FROM identities ORDER BY issuer COLLATE "C", '
        'subject COLLATE "C"',
        "keys": "SELECT n, id, account, name, label, created, expires, revoked, last_used, monthly_limit, models, "
        "requests_per_minute, ip_allow, alert_thresholds FROM keys ORDER BY n",
        "links": "SELECT n, id, digest, purpose, account, email, role, credits, created, expires FROM links ORDER BY n",
        "logins": "SELECT account, email, password, changed FROM logins ORDER BY account",
        "months": "SELECT key, period, used, held FROM months ORDER BY key, period",
        "objects": "SELECT n, id, account, provider, kind, kept, created, details, is_open FROM objects ORDER BY n",
        "responses": "SELECT n, id, account, status, created, expires, previous, lease IS NOT NULL, background, "
        "cancelled, request_id, input, response, output, events FROM responses ORDER BY n",
        "rollups": "SELECT account, day, key, model, credits, requests, tokens, images, characters, seconds, searches "
        'FROM rollups ORDER BY account, day, key, model COLLATE "C"',
        "secrets": "SELECT digest, key, until FROM secrets ORDER BY digest",
        "sessions": "SELECT n, id, digest, account, created, expires, seen, remote, agent FROM sessions ORDER BY n",
        "tag_sums": "SELECT account, day, name, value, key, credits, requests, tokens FROM tag_sums "
        'ORDER BY account, day, name COLLATE "C", value COLLATE "C", key',
        "topup_parts": 'SELECT topup, name, amount, rank FROM topup_parts ORDER BY topup, name COLLATE "C"',
        "topups": "SELECT n, id, account, method, currency, amount, credits, created, state, checkout, url, settled, "
        "returned, credited, owed, entries FROM topups ORDER BY n",
        "usage": "SELECT n, account, key, hold, request_id, model, target, route, status, basis, created, counts, "
        "first_byte_ms, total_ms, error, tags, tries FROM usage ORDER BY n",
        "vouchers": "SELECT n, digest, label, credits, created, expires, redeemed, account, note, revoked "
        "FROM vouchers ORDER BY n",
    }
)
_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **TABLES,
        "holds": (*TABLES["holds"], "lease"),
        "responses": (*(name for name in TABLES["responses"] if name != "running"), "lease", "size", "item_ids"),
        "conversation_items": (*TABLES["conversation_items"], "account"),
        "objects": tuple("kept" if name == "size" else name for name in TABLES["objects"]),
    }
)
"""Those that are written; what the database makes by itself is not among them."""
_GO_ON = """
    SELECT setval(pg_get_serial_sequence('accounts', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM accounts), false),
        setval(pg_get_serial_sequence('keys', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM keys), false),
        setval(pg_get_serial_sequence('holds', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM holds), false),
        setval(pg_get_serial_sequence('entries', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM entries), false),
        setval(pg_get_serial_sequence('vouchers', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM vouchers), false),
        setval(pg_get_serial_sequence('topups', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM topups), false),
        setval(pg_get_serial_sequence('responses', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM responses), false),
        setval(pg_get_serial_sequence('conversations', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM conversations),
            false),
        setval(pg_get_serial_sequence('conversation_items', 'n'),
            (SELECT coalesce(max(n), 0) + 1 FROM conversation_items), false),
        setval(pg_get_serial_sequence('objects', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM objects), false),
        setval(pg_get_serial_sequence('sessions', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM sessions), false),
        setval(pg_get_serial_sequence('links', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM links), false),
        setval(pg_get_serial_sequence('audit', 'n'), (SELECT coalesce(max(n), 0) + 1 FROM audit), false),
        setval('usage_numbers', (SELECT coalesce(max(n), 0) + 1 FROM usage), false)
"""
_TAGGED = ("holds", "usage")
_COUNTS = len(counts_of(Usage()))
_PLACE = {table: {name: place for place, name in enumerate(columns)} for table, columns in TABLES.items()}


def _read_row(table: str, row: Iterable[Any]) -> Row:
    """A row of `READ` as one of `TABLES`."""
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    if table in _TAGGED:
        place = _PLACE[table]["tags"]
        values[place] = tuple(orjson.loads(values[place] or b"{}").items())
    if table == "usage":
        # Rows of before a count was kept, and those of calls that crashed, have fewer.
        place = _PLACE[table]["counts"]
        values[place] += (0,) * (_COUNTS - len(values[place]))
    if table == "objects":
        place = _PLACE[table]["details"]
        values[place] = orjson.loads(values[place])
    to_words(table, values, KINDS, BASES)
    return tuple(values)


class PostgresSnapshot:
    """`gateway.stores.Snapshot`, on a connection in the middle of a transaction that reads."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    async def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """By a cursor of the server's."""
        cursor = await self._connection.cursor(READ[table], timeout=_PATIENCE)
        while batch := await cursor.fetch(at_once(table), timeout=_PATIENCE):
            yield [_read_row(table, row) for row in batch]


@asynccontextmanager
async def open_snapshot(url: str) -> AsyncIterator[PostgresSnapshot]:
    """The database as it is now, for as long as this is open. Raises GatewayFault(503) when it is away."""
    async with _connected(url) as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield PostgresSnapshot(connection)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    try:
        connection = await connect(url)
        try:
            yield connection
        finally:
            connection.terminate()
    except Exception as error:  # only to sort it: what does not mean "away" is raised as it is
        if is_away(error):
            raise away(error) from error
        raise


async def fill(url: str, snapshot: Snapshot, told: Callable[[str, int], None]) -> None:
    """Write all rows of a snapshot into a database without accounts, in one transaction. Raises GatewayFault when it
    has some, or is away."""
    async with _connected(url) as connection:
        async with connection.transaction():
            # Who would make an account meanwhile waits, and finds the copy.
            await connection.execute("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE")
            if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM accounts)"):
                raise not_empty()
            writing = _Writing()
            for table in TABLES:
                count = 0
                async for rows in snapshot.rows(table):
                    if table == "usage":
                        await _make_partitions(connection, rows)
                    await connection.copy_records_to_table(
                        table, columns=_COLUMNS[table], records=[writing.row(table, row) for row in rows],
                        timeout=_PATIENCE,
                    )  # fmt: skip
                    count += len(rows)
                    told(table, count)
            await connection.execute(_GO_ON, timeout=_PATIENCE)
            await connection.execute("SELECT gw_changed()")
        await connection.execute("ANALYZE", timeout=_PATIENCE)


async def _make_partitions(connection: asyncpg.Connection[asyncpg.Record], rows: Sequence[Row]) -> None:
    """Have a partition for every month of these rows."""
    place = _PLACE["usage"]["created"]
    for year, month in sorted({datetime.fromtimestamp(row[place], UTC).timetuple()[:2] for row in rows}):
        bounds = month_bounds(datetime(year, month, 1, tzinfo=UTC))
        await connection.execute("SELECT gw_make_partition($1, $2, $3)", *bounds)


class _Writing:
    """Makes rows of `_COLUMNS` out of rows of `TABLES`."""

    def __init__(self) -> None:
        self._owners: dict[int, int] = {}

    def row(self, table: str, row: Row) -> Row:
        """The same row, with what this database keeps besides."""
        values, place = list(row), _PLACE[table]
        if table in _TAGGED:
            values[place["tags"]] = written_tags(values[place["tags"]])
        if table == "objects":
            values[place["details"]] = orjson.dumps(values[place["details"]]).decode()
        to_positions(table, values, KINDS, BASES)
        if table == "holds":
            for name in ("base", "unit_price"):
                if values[place[name]] is not None:
                    values[place[name]] = Decimal(values[place[name]])
            values.append(NOBODY if values[place["state"]] == 0 else None)
        if table == "conversations":
            self._owners[values[place["n"]]] = values[place["account"]]
        if table == "conversation_items":
            values.append(self._owners[values[place["conversation"]]])
        if table == "responses":
            blobs = [values[place[name]] for name in ("input", "response", "output")]
            ids = item_ids([*orjson.loads(blobs[0]), *orjson.loads(blobs[2])])
            running = values.pop(place["running"])
            values += (NOBODY if running else None, sum(map(len, blobs)), ids)
        return tuple(values)
