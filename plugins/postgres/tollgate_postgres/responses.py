"""State of the Responses API: answers that are kept, and conversations. Another gateway finds them as this one does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from gateway.api import Refusal
from gateway.api.stores import Chain, StoredConversation, StoredResponse, Turn, no_account, random_text
from tollgate_postgres.engine import REPORT_WITHIN, Database
from tollgate_postgres.presence import PostgresPresence

if TYPE_CHECKING:
    import asyncpg

_ADD = """
    INSERT INTO responses (id, account, status, created, expires, previous, lease, background, request_id, size,
        input, response, output, events, item_ids)
    SELECT $1, a.n, $3, $4, $5,
        CASE WHEN $6 = '' THEN NULL ELSE coalesce((SELECT n FROM responses WHERE id = $6 AND account = a.n), -1) END,
        $7, $8, $9, $10, $11, $12, $13, $14, $15
    FROM accounts AS a WHERE a.id = $2
"""
_END = """
    UPDATE responses SET status = $2, lease = NULL, size = $3, response = $4, output = $5, events = $6,
        item_ids = item_ids || $7
    WHERE id = $1 AND lease IS NOT NULL
"""
_GET = "SELECT * FROM gw_responses WHERE id = $1 AND account = $2 AND expires >= $3"
_DELETE = """
    DELETE FROM responses WHERE id = $1 AND account = (SELECT n FROM accounts WHERE id = $2) AND expires >= $3
"""
_ASK = """
    UPDATE responses SET cancelled = true
    WHERE id = $1 AND account = (SELECT n FROM accounts WHERE id = $2) AND lease IS NOT NULL
"""
# `LIMIT 1` keeps each step to the one row that it names: the planner takes every chain for a hundred turns, and would
# read a whole table of some thousands for them.
_CHAIN_SIZE = """
    WITH RECURSIVE chain (n, previous, size) AS (
        SELECT r.n, r.previous, r.size FROM responses AS r JOIN accounts AS a ON a.n = r.account
        WHERE r.id = $1 AND a.id = $2 AND r.expires >= $3
        UNION ALL
        SELECT r.n, r.previous, r.size FROM chain AS c
            CROSS JOIN LATERAL (SELECT n, previous, size FROM responses WHERE n = c.previous LIMIT 1) AS r
    )
    SELECT sum(size)::bigint FROM chain
"""
_CHAIN = """
    WITH RECURSIVE chain (n, previous, depth) AS (
        SELECT r.n, r.previous, 0 FROM responses AS r JOIN accounts AS a ON a.n = r.account
        WHERE r.id = $1 AND a.id = $2 AND r.expires >= $3
        UNION ALL
        SELECT r.n, r.previous, c.depth + 1 FROM chain AS c
            CROSS JOIN LATERAL (SELECT n, previous FROM responses WHERE n = c.previous LIMIT 1) AS r
    )
    SELECT r.id, r.status, r.input, r.output, r.previous FROM chain AS c
        CROSS JOIN LATERAL (
            SELECT id, status, input, output, previous FROM responses WHERE n = c.n LIMIT 1) AS r
    ORDER BY c.depth DESC
"""
_ITEMS = """
    SELECT input, output FROM gw_responses
    WHERE account = $1 AND expires >= $2 AND item_ids @> ARRAY[$3::text] ORDER BY n DESC LIMIT 1
"""
_ORPHANS = "SELECT n, response FROM responses WHERE lease = $1 ORDER BY n LIMIT 200 FOR UPDATE SKIP LOCKED"
# Continued means: another one names it as its `previous`. That one goes first, and this one with the next round.
_PRUNE = """
    DELETE FROM responses WHERE n IN (
        SELECT r.n FROM responses AS r WHERE r.expires < $1 AND r.lease IS NULL
            AND NOT EXISTS (SELECT 1 FROM responses AS c WHERE c.previous = r.n)
        ORDER BY r.expires LIMIT 500)
"""
_APPEND = """
    INSERT INTO conversation_items AS i (conversation, account, id, item)
    SELECT $1, (SELECT account FROM conversations WHERE n = $1), id, item
    FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS given (id, item, place) ORDER BY place
    ON CONFLICT (conversation, id) DO UPDATE SET item = excluded.item
"""
_GET_CONVERSATION = "SELECT * FROM gw_conversations WHERE id = $1 AND account = $2 AND expires >= $3"
_KEEP = """
    UPDATE conversations SET expires = greatest(expires, $3)
    WHERE id = $1 AND account = (SELECT n FROM accounts WHERE id = $2) RETURNING n
"""
_SET_METADATA = """
    UPDATE conversations SET metadata = $4
    WHERE id = $1 AND account = (SELECT n FROM accounts WHERE id = $2) AND expires >= $3
"""
_DELETE_CONVERSATION = """
    DELETE FROM conversations WHERE id = $1 AND account = (SELECT n FROM accounts WHERE id = $2) AND expires >= $3
"""
_LOCK_CONVERSATION = """
    SELECT n FROM conversations WHERE id = $1 AND account = (SELECT n FROM accounts WHERE id = $2) AND expires >= $3
    FOR UPDATE
"""


def _too_large(most: int) -> Refusal:
    return Refusal(f"The conversation so far is larger than {most} bytes.", status=400, code="context_too_large")


def item_ids(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reference may name: the ids of those items that have one."""
    return [str(item["id"]) for item in items if item.get("id")]


class PostgresResponses:
    """`gateway.stores.Responses`."""

    def __init__(self, database: Database, presence: PostgresPresence) -> None:
        self._database = database
        self._presence = presence

    async def save(self, response: StoredResponse, *, most: int) -> None:
        """One transaction for the response and its conversation."""
        r, output = response, list(response.response["output"])
        kept = {key: value for key, value in r.response.items() if key != "output"}
        blobs = (orjson.dumps(list(r.input)), orjson.dumps(kept), orjson.dumps(output))
        size = sum(len(blob) for blob in blobs)
        if size > most:
            raise Refusal(
                f"The response and its input make {size} bytes; at most {most} are kept (responses.max_stored).",
                status=400, code="response_too_large",
            )  # fmt: skip

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> None:
            if r.background and not r.running:
                await connection.execute(
                    _END, r.id, r.status, size, blobs[1], blobs[2], r.events or None, item_ids(output)
                )
            else:
                await connection.execute(
                    _ADD, r.id, r.account_id, r.status, r.created, r.expires, r.previous_id,
                    self._presence.lease.id if r.running else None, r.background, r.request_id, size, *blobs,
                    r.events or None, item_ids([*r.input, *output]),
                )  # fmt: skip
            if r.conversation_id and not r.running:
                number = await connection.fetchval(_KEEP, r.conversation_id, r.account_id, r.expires)
                if number is not None:
                    await append(connection, number, r.items)

        await self._database.transaction(work)

    async def get(self, account_id: str, response_id: str) -> StoredResponse | None:
        """One row, unless it is another account's or over."""
        row = await self._database.row(_GET, response_id, account_id, self._database.now())
        if row is None:
            return None
        return StoredResponse(
            id=row[0], account_id=row[1], status=row[2], created=row[3], expires=row[4], request_id=row[5],
            input=orjson.loads(row[6]), response={**orjson.loads(row[7]), "output": orjson.loads(row[8])},
            previous_id=row[9], background=row[10], running=row[11], events=row[12],
        )  # fmt: skip

    async def delete(self, account_id: str, response_id: str) -> bool:
        """One row; what continued it keeps its number."""
        return await self._database.execute(_DELETE, response_id, account_id, self._database.now()) > 0

    async def chain(self, account_id: str, response_id: str, *, most: int) -> Chain | None:
        """The size first, then the rows, from one state."""
        values = (response_id, account_id, self._database.now())

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> Sequence[asyncpg.Record]:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                size = await connection.fetchval(_CHAIN_SIZE, *values)
                if size is not None and size > most:
                    raise _too_large(most)
                return list(await connection.fetch(_CHAIN, *values))

        rows = await self._database.run(work)
        if not rows:
            return None
        turns = [Turn(row[0], row[1], orjson.loads(row[2]), orjson.loads(row[3])) for row in rows]
        return Chain(turns, lost=rows[0][4] is not None)

    async def find_items(self, account_id: str, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """By the index of item ids, newest first."""
        found: dict[str, Mapping[str, Any]] = {}
        for item_id in item_ids:
            row = await self._database.row(_ITEMS, account_id, self._database.now(), item_id)
            if row is not None:
                for item in (*orjson.loads(row[0]), *orjson.loads(row[1])):
                    if item.get("id") == item_id:
                        found[item_id] = item
        return found

    async def ask_to_cancel(self, account_id: str, response_id: str) -> None:
        """A mark in the row, which its process looks for, whichever machine that is on."""
        await self._database.execute(_ASK, response_id, account_id)

    async def asked_to_cancel(self) -> list[str]:
        """By the index of running responses."""
        rows = await self._database.rows(
            "SELECT id FROM responses WHERE lease = $1 AND cancelled ORDER BY id", self._presence.lease.id
        )
        return [row[0] for row in rows]

    async def fail_over(self, lease: str, error: Mapping[str, Any]) -> int:
        """In pieces."""

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> int:
            rows = await connection.fetch(_ORPHANS, lease)
            for number, raw in rows:
                response = {**orjson.loads(raw), "status": "failed", "error": dict(error)}
                await connection.execute(
                    "UPDATE responses SET status = 'failed', lease = NULL, response = $2 WHERE n = $1",
                    number, orjson.dumps(response),
                )  # fmt: skip
            return len(rows)

        failed = 0
        while done := await self._database.transaction(work, within=REPORT_WITHIN):
            failed += done
        return failed

    async def prune(self, now: int) -> int:
        """In pieces, from the newest end of each chain."""
        gone = 0
        while done := await self._database.execute(_PRUNE, now, within=REPORT_WITHIN):
            gone += done
        return gone


async def append(
    connection: asyncpg.Connection[asyncpg.Record], number: int, items: Sequence[Mapping[str, Any]]
) -> None:
    """Add items to a conversation; of several with one id the last counts, in the place of the first."""
    last = {str(item["id"]): orjson.dumps(dict(item)) for item in items}
    await connection.execute(_APPEND, number, list(last), list(last.values()))


class PostgresConversations:
    """`gateway.stores.Conversations`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_conversation(
        self, account_id: str, metadata: Mapping[str, str], items: Sequence[Mapping[str, Any]], *, expires: int
    ) -> StoredConversation:
        """With its first items."""
        made = StoredConversation("conv_" + random_text(32), account_id, self._database.now(), expires, dict(metadata))

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> None:
            number = await connection.fetchval(
                "INSERT INTO conversations (id, account, created, expires, metadata) "
                "SELECT $1, n, $3, $4, $5 FROM accounts WHERE id = $2 RETURNING n",
                made.id, account_id, made.created, expires, dict(metadata),
            )  # fmt: skip
            if number is None:
                raise no_account()
            await append(connection, number, items)

        await self._database.transaction(work)
        return made

    async def get_conversation(self, account_id: str, conversation_id: str) -> StoredConversation | None:
        """One of the account that is not over."""
        row = await self._database.row(_GET_CONVERSATION, conversation_id, account_id, self._database.now())
        return None if row is None else StoredConversation(*row[:5])

    async def update_conversation(
        self, account_id: str, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        """New metadata."""
        changed = await self._database.execute(
            _SET_METADATA, conversation_id, account_id, self._database.now(), dict(metadata)
        )
        return await self.get_conversation(account_id, conversation_id) if changed else None

    async def delete_conversation(self, account_id: str, conversation_id: str) -> bool:
        """Its items go with it."""
        return await self._database.execute(_DELETE_CONVERSATION, conversation_id, account_id, self._database.now()) > 0

    async def _number(self, account_id: str, conversation_id: str) -> int | None:
        row = await self._database.row(_GET_CONVERSATION, conversation_id, account_id, self._database.now())
        return None if row is None else int(row["n"])

    async def conversation_items(
        self, account_id: str, conversation_id: str, *, most: int
    ) -> Sequence[Mapping[str, Any]] | None:
        """In the order in which they came."""
        number = await self._number(account_id, conversation_id)
        if number is None:
            return None
        size = await self._database.value(
            "SELECT coalesce(sum(length(item)), 0)::bigint FROM conversation_items WHERE conversation = $1", number
        )
        if size > most:
            raise _too_large(most)
        rows = await self._database.rows(
            "SELECT item FROM conversation_items WHERE conversation = $1 ORDER BY n", number
        )
        return [orjson.loads(row[0]) for row in rows]

    async def add_items(
        self, account_id: str, conversation_id: str, items: Sequence[Mapping[str, Any]], *, most: int
    ) -> bool:
        """All or none, under the lock on the conversation's row."""

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
            number = await connection.fetchval(_LOCK_CONVERSATION, conversation_id, account_id, self._database.now())
            if number is None:
                return False
            count = await connection.fetchval("SELECT count(*) FROM conversation_items WHERE conversation = $1", number)
            if count + len(items) > most:
                raise Refusal(f"The conversation would have more than {most} items.", status=400,
                              code="too_many_items")  # fmt: skip
            await append(connection, number, items)
            return True

        return await self._database.transaction(work)

    async def delete_item(self, account_id: str, conversation_id: str, item_id: str) -> bool:
        """One item."""
        number = await self._number(account_id, conversation_id)
        if number is None:
            return False
        return await self._database.execute(
            "DELETE FROM conversation_items WHERE conversation = $1 AND id = $2", number, item_id
        ) > 0  # fmt: skip

    async def prune_conversations(self, now: int) -> int:
        """In pieces."""
        gone = 0
        while done := await self._database.execute(
            "DELETE FROM conversations WHERE n IN "
            "(SELECT n FROM conversations WHERE expires < $1 ORDER BY expires LIMIT 500)", now, within=REPORT_WITHIN,
        ):  # fmt: skip
            gone += done
        return gone
