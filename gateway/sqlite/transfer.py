"""All that a SQLite file keeps, as the rows of `gateway.stores.transfer`, out of it and into it.

Both ways have a connection of their own: reading, one that stays in one state of the file while others write on;
writing, one that holds the lock of a file that is empty, and commits once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import orjson

from gateway.api.stores import TABLES, Row, Snapshot, at_once, not_empty, to_positions, to_words
from gateway.sqlite.engine.core import open_writing
from gateway.sqlite.engine.operation import unavailable
from gateway.sqlite.identity.authentication import NEW_GENERATION
from gateway.sqlite.money.operations import written_tags
from gateway.sqlite.money.unit_of_work import BASES, KINDS

READ: Mapping[str, str] = MappingProxyType(
    {
        "accounts": "SELECT n, id, name, role, balance, held, requests_per_minute, disabled, created, alert_thresholds "
        "FROM accounts ORDER BY n",
        "keys": "SELECT n, id, account, name, label, created, expires, revoked, last_used, monthly_limit, models, "
        "requests_per_minute, ip_allow, alert_thresholds FROM keys ORDER BY n",
        "secrets": "SELECT digest, key, until FROM secrets ORDER BY digest",
        "months": "SELECT key, period, used, held FROM months ORDER BY key, period",
        "holds": "SELECT h.n, h.request_id, h.account, h.key, h.period, h.created, m.text, h.amount, h.units, h.state, "
        "h.charged, h.logged, t.text, coalesce(h.dispatched, 0), h.base, h.unit_price, h.ceiling, h.known, "
        "h.known_prompt, h.known_completion, h.tags FROM holds AS h JOIN names AS m ON m.n = h.model "
        "LEFT JOIN names AS t ON t.n = h.target ORDER BY h.n",
        "entries": "SELECT n, account, kind, amount, reserved, unpaid, balance, created, hold, coalesce(basis, 0), "
        "idem, coalesce(note, '') FROM entries ORDER BY n",
        "vouchers": "SELECT n, digest, label, credits, created, expires, redeemed, account, note, revoked "
        "FROM vouchers ORDER BY n",
        "topups": "SELECT n, id, account, method, currency, amount, credits, created, state, checkout, url, settled, "
        "returned, credited, owed, entries FROM topups ORDER BY n",
        "topup_parts": "SELECT topup, name, amount, rank FROM topup_parts ORDER BY topup, name",
        "usage": "SELECT u.n, u.account, u.key, u.hold, coalesce(h.request_id, u.request_id, ''), m.text, "
        "coalesce(t.text, ''), r.text, u.status, u.basis, u.created, u.prompt, u.completion, u.cached, u.cache_write, "
        "u.reasoning, u.audio_input, u.audio_output, u.image_input, u.image_output, u.web_searches, u.cache_write_1h, "
        "u.images, u.characters, u.seconds, u.searches, u.first_byte_ms, u.total_ms, coalesce(e.text, ''), u.tags, "
        "coalesce(u.tries, '') FROM usage AS u "
        "JOIN names AS m ON m.n = u.model "
        "JOIN names AS r ON r.n = u.route LEFT JOIN names AS t ON t.n = u.target LEFT JOIN names AS e ON e.n = u.error "
        "LEFT JOIN holds AS h ON h.n = u.hold ORDER BY u.n",
        "rollups": "SELECT r.account, r.day, r.key, m.text, r.credits, r.requests, r.prompt + r.completion, "
        "r.images, r.characters, r.seconds, r.searches "
        "FROM rollups AS r JOIN names AS m ON m.n = r.model ORDER BY r.account, r.day, r.key, m.text",
        "tag_sums": "SELECT account, day, name, value, key, credits, requests, tokens FROM tag_sums "
        "ORDER BY account, day, name, value, key",
        "responses": "SELECT n, id, account, status, created, expires, previous, process IS NOT NULL, background, "
        "cancelled, request_id, input, response, output, events FROM responses ORDER BY n",
        "conversations": "SELECT n, id, account, created, expires, metadata FROM conversations ORDER BY n",
        "conversation_items": "SELECT n, conversation, id, item FROM conversation_items ORDER BY n",
        "answers": "SELECT name, account, body, request_id, expires, status, headers, content "
        "FROM answers ORDER BY name",
        "objects": "SELECT n, id, account, provider, kind, size, created, details, is_open FROM objects ORDER BY n",
        "sessions": "SELECT n, id, digest, account, created, expires, seen, remote, agent FROM sessions ORDER BY n",
        "logins": "SELECT account, email, password, changed FROM logins ORDER BY account",
        "identities": "SELECT issuer, subject, account FROM identities ORDER BY issuer, subject",
        "links": "SELECT n, id, digest, purpose, account, email, role, credits, created, expires FROM links ORDER BY n",
        "audit": "SELECT n, at, actor, remote, action, subject, detail FROM audit ORDER BY n",
    }
)
_WRITE: Mapping[str, str] = MappingProxyType(
    {
        "accounts": "INSERT INTO accounts (n, id, name, role, balance, held, requests_per_minute, disabled, created, "
        "alert_thresholds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "keys": "INSERT INTO keys (n, id, account, name, label, created, expires, revoked, last_used, monthly_limit, "
        "models, requests_per_minute, ip_allow, alert_thresholds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "secrets": "INSERT INTO secrets (digest, key, until) VALUES (?, ?, ?)",
        "months": "INSERT INTO months (key, period, used, held) VALUES (?, ?, ?, ?)",
        "holds": "INSERT INTO holds (n, request_id, account, key, period, created, model, amount, units, state, "
        "charged, logged, target, dispatched, base, unit_price, ceiling, known, known_prompt, known_completion, tags, "
        "process) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "entries": "INSERT INTO entries (n, account, kind, amount, reserved, unpaid, balance, created, hold, basis, "
        "idem, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "vouchers": "INSERT INTO vouchers (n, digest, label, credits, created, expires, redeemed, account, note, "
        "revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "topups": "INSERT INTO topups (n, id, account, method, currency, amount, credits, created, state, checkout, "
        "url, settled, returned, credited, owed, entries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "topup_parts": "INSERT INTO topup_parts (topup, name, amount, rank) VALUES (?, ?, ?, ?)",
        "usage": "INSERT INTO usage (n, account, key, hold, request_id, model, target, route, status, basis, created, "
        "prompt, completion, cached, cache_write, reasoning, audio_input, audio_output, image_input, image_output, "
        "web_searches, cache_write_1h, images, characters, seconds, searches, first_byte_ms, total_ms, error, tags, "
        "tries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "rollups": "INSERT INTO rollups (account, day, key, model, credits, requests, prompt, completion, images, "
        "characters, seconds, searches) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
        "tag_sums": "INSERT INTO tag_sums (account, day, name, value, key, credits, requests, tokens) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        "responses": "INSERT INTO responses (n, id, account, status, created, expires, previous, process, background, "
        "cancelled, request_id, input, response, output, events, size) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "conversations": "INSERT INTO conversations (n, id, account, created, expires, metadata) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        "conversation_items": "INSERT INTO conversation_items (n, conversation, id, item) VALUES (?, ?, ?, ?)",
        "answers": "INSERT INTO answers (name, account, body, request_id, expires, status, headers, content) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        "objects": "INSERT INTO objects (n, id, account, provider, kind, size, created, details, is_open) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "sessions": "INSERT INTO sessions (n, id, digest, account, created, expires, seen, remote, agent) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "logins": "INSERT INTO logins (account, email, password, changed) VALUES (?, ?, ?, ?)",
        "identities": "INSERT INTO identities (issuer, subject, account) VALUES (?, ?, ?)",
        "links": "INSERT INTO links (n, id, digest, purpose, account, email, role, credits, created, expires) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "audit": "INSERT INTO audit (n, at, actor, remote, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
    }
)
_NAME = "INSERT INTO names (text) VALUES (?) ON CONFLICT (text) DO UPDATE SET text = excluded.text RETURNING n"
NOBODY = 0
"""The number of a process that never was: what it is said to run is found to be a dead one's."""
_PLACE = {table: {name: place for place, name in enumerate(columns)} for table, columns in TABLES.items()}
_LISTS = {"accounts": ("alert_thresholds",), "keys": ("models", "ip_allow", "alert_thresholds")}
_DICTS = {"conversations": ("metadata",), "answers": ("headers",), "audit": ("detail",),
          "objects": ("details",)}  # fmt: skip
_FLAGS = {"accounts": ("disabled",), "holds": ("logged", "dispatched"),
          "responses": ("running", "background", "cancelled"), "objects": ("is_open",)}  # fmt: skip
_NAMES = {"holds": ("model", "target"), "usage": ("model", "target", "route", "error"), "rollups": ("model",)}
_TAGGED = ("holds", "usage")
_MAY_LACK = ("target", "error")
_FIRST_COUNT, _COUNTS = _PLACE["usage"]["counts"], 15


def _read_row(table: str, row: Row) -> Row:
    """A row of `READ` as one of `TABLES`."""
    values = list(row)
    if table == "usage":
        values[_FIRST_COUNT : _FIRST_COUNT + _COUNTS] = [tuple(values[_FIRST_COUNT : _FIRST_COUNT + _COUNTS])]
    place = _PLACE[table]
    for name in (*_LISTS.get(table, ()), *_DICTS.get(table, ())):
        if values[place[name]] is not None:
            found = orjson.loads(values[place[name]])
            values[place[name]] = tuple(found) if isinstance(found, list) else found
    for name in _FLAGS.get(table, ()):
        values[place[name]] = bool(values[place[name]])
    if table in _TAGGED:
        values[place["tags"]] = tuple(orjson.loads(values[place["tags"]] or b"{}").items())
    to_words(table, values, KINDS, BASES)
    return tuple(values)


def _written_row(table: str, row: Row, number: Callable[[str], int]) -> Row:
    """A row of `TABLES` as `_WRITE` takes it. number: of a text in the table of names."""
    values, place = list(row), _PLACE[table]
    for name in (*_LISTS.get(table, ()), *_DICTS.get(table, ())):
        if values[place[name]] is not None:
            values[place[name]] = orjson.dumps(values[place[name]]).decode()
    for name in _NAMES.get(table, ()):
        text = values[place[name]]
        lacks = text is None or (table == "usage" and name in _MAY_LACK and not text)
        values[place[name]] = None if lacks else number(text)
    if table in _TAGGED:
        values[place["tags"]] = written_tags(values[place["tags"]])
    to_positions(table, values, KINDS, BASES)
    if table == "holds":
        is_open = values[place["state"]] == 0
        if not is_open:
            values[place["dispatched"]] = None
        values.append(NOBODY if is_open else None)
    if table == "responses":
        values[place["running"]] = NOBODY if values[place["running"]] else None
        values.append(sum(len(values[place[name]]) for name in ("input", "response", "output")))
    if table == "usage":
        if values[place["hold"]] is not None:
            values[place["request_id"]] = None
        values[place["tries"]] = values[place["tries"]] or None
        values[_FIRST_COUNT : _FIRST_COUNT + 1] = values[_FIRST_COUNT]
    return tuple(values)


class SqliteSnapshot:
    """`gateway.stores.Snapshot`, on a connection in the middle of a transaction that reads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """Some at a time, each on a thread."""
        cursor = await asyncio.to_thread(self._connection.execute, READ[table])
        most = at_once(table)
        while batch := await asyncio.to_thread(lambda: [_read_row(table, row) for row in cursor.fetchmany(most)]):
            yield batch


@asynccontextmanager
async def open_snapshot(path: Path) -> AsyncIterator[SqliteSnapshot]:
    """The file as it is now, for as long as this is open."""

    def begin() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        # The state is chosen by the first statement that reads.
        connection.execute("SELECT count(*) FROM facts").fetchone()
        return connection

    connection = await asyncio.to_thread(begin)
    try:
        yield SqliteSnapshot(connection)
    finally:
        await asyncio.to_thread(connection.close)


async def fill(path: Path, snapshot: Snapshot, told: Callable[[str, int], None]) -> None:
    """Write all rows of a snapshot into a file without accounts, in one transaction. Raises GatewayFault when it has
    some, or cannot be written."""
    connection = await asyncio.to_thread(open_writing, path)
    try:
        await asyncio.to_thread(_begin, connection)
        numbers: dict[str, int] = {}

        def number(text: str) -> int:
            if text not in numbers:
                numbers[text] = connection.execute(_NAME, (text,)).fetchall()[0][0]
            return numbers[text]

        def write(table: str, rows: Sequence[Row]) -> None:
            connection.executemany(_WRITE[table], [_written_row(table, row, number) for row in rows])

        for table in TABLES:
            count = 0
            async for rows in snapshot.rows(table):
                await asyncio.to_thread(write, table, rows)
                count += len(rows)
                told(table, count)
        await asyncio.to_thread(_commit, connection)
    except sqlite3.OperationalError as problem:
        raise unavailable(problem) from problem
    finally:
        # What was not committed is undone with it.
        await asyncio.to_thread(connection.close)


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("SELECT count(*) FROM accounts").fetchone()[0]:
        raise not_empty()


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute(NEW_GENERATION)
    connection.execute("COMMIT")
