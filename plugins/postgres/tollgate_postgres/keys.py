"""Keys, and from a key's text to its `Caller`.

Every request asks, so good answers are kept: by the full digest, as long as the database's `generation` is unchanged.
Every change to a key or an account raises it, and it is read again when the last look is older than half a second, by
one request for all that wait. So a revocation counts everywhere well within a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.api import Caller, CallerFault, Refusal
from gateway.api.stores import (
    KEY_PEPPER,
    LONGEST_GRACE,
    Key,
    KeySettings,
    StoresSettings,
    address_allowed,
    checked_settings,
    derive,
    digest,
    label_of,
    new_key,
    no_account,
    random_text,
    read_period,
    well_formed,
)
from tollgate_postgres.engine import Database

if TYPE_CHECKING:
    import asyncpg

LOOK_AGAIN = 0.5
"""Seconds after which the generation is read again before a kept answer is used."""
_MOST_KEPT = 20_000
_BY_ID = "SELECT * FROM gw_keys WHERE id = $1 AND ($2::text IS NULL OR account = $2)"
_LOOKUP = """
    SELECT k.*, s.until, (SELECT n FROM generation) AS generation
    FROM secrets AS s JOIN gw_keys AS k ON k.n = s.key WHERE s.digest = $1
"""
_SET = """
    UPDATE keys AS k SET name = $3, expires = $4, monthly_limit = $5, models = $6, requests_per_minute = $7,
        ip_allow = $8, alert_thresholds = $9
    FROM accounts AS a
    WHERE a.n = k.account AND k.id = $1 AND ($2::text IS NULL OR a.id = $2) AND k.revoked IS NULL
    RETURNING gw_changed()
"""
_REVOKE = """
    UPDATE keys AS k SET revoked = coalesce(k.revoked, $3) FROM accounts AS a
    WHERE a.n = k.account AND k.id = $1 AND ($2::text IS NULL OR a.id = $2)
    RETURNING gw_changed()
"""
_LOCK = """
    SELECT k.n FROM keys AS k JOIN accounts AS a ON a.n = k.account
    WHERE k.id = $1 AND ($2::text IS NULL OR a.id = $2) AND k.revoked IS NULL FOR UPDATE OF k
"""


def _key(row: asyncpg.Record) -> Key:
    values = [*list(row)[:12], row["alert_thresholds"]]
    for place in (9, 11, 12):
        values[place] = None if values[place] is None else tuple(values[place])
    return Key(*values)


@dataclass(slots=True)
class _Kept:
    """A good key, with what was read beside it."""

    caller: Caller
    key: Key
    until: tuple[int | None, int | None]
    touched: float


class PostgresKeys:
    """`gateway.stores.Keys`."""

    def __init__(
        self, database: Database, settings: StoresSettings, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._monotonic = monotonic
        self._settings = settings
        self._pepper = derive(settings.secret, KEY_PEPPER)
        self._kept: dict[bytes, _Kept] = {}
        self._generation = -1
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def create_key(self, account_id: str, settings: KeySettings) -> tuple[Key, str]:
        """Counted under the lock on the account's row."""
        now, most = self._database.now(), self._settings.keys_per_account
        wanted = checked_settings(settings, now)
        plain, key_id = new_key(self._settings.key_prefix), "key_" + random_text(16)
        label = label_of(plain, self._settings.key_prefix)

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> Key:
            owner = await connection.fetchval("SELECT n FROM accounts WHERE id = $1 FOR NO KEY UPDATE", account_id)
            if owner is None:
                raise no_account()
            active = await connection.fetchval(
                "SELECT count(*) FROM keys "
                "WHERE account = $1 AND revoked IS NULL AND (expires IS NULL OR expires > $2)",
                owner, now,
            )  # fmt: skip
            if active >= most:
                raise Refusal(f"This account has {most} active keys, the most it may have. Revoke one first.",
                              status=400, code="too_many_keys")  # fmt: skip
            number = await connection.fetchval(
                "INSERT INTO keys (id, account, name, label, created, expires, monthly_limit, models, "
                "requests_per_minute, ip_allow, alert_thresholds) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING n",
                key_id, owner, wanted.name, label, now, wanted.expires_at, wanted.monthly_limit, wanted.models,
                wanted.requests_per_minute, wanted.ip_allow, wanted.alert_thresholds,
            )  # fmt: skip
            await connection.execute(
                "INSERT INTO secrets (digest, key) VALUES ($1, $2)", digest(self._pepper, plain), number
            )
            row = await connection.fetchrow(_BY_ID, key_id, None)
            assert row is not None
            return _key(row)

        return await self._database.transaction(work), plain

    async def authenticate(self, plain: str, remote: str) -> Caller | None:
        """From memory where it was found a moment ago."""
        if not well_formed(plain, self._settings.key_prefix):
            return None
        stored = digest(self._pepper, plain)
        if self._monotonic() - self._looked > LOOK_AGAIN:
            await self._look()
        kept = self._kept.get(stored)
        if kept is None:
            kept = await self._find(stored)
            if kept is None:
                return None
        now = self._database.time()
        if any(end is not None and now >= end for end in kept.until):
            return None
        if kept.key.ip_allow is not None and not address_allowed(remote, kept.key.ip_allow):
            raise Refusal("This API key may not be used from this address.", status=403, code="ip_not_allowed")
        if now - kept.touched >= 60:
            kept.touched = now
            self._later(
                self._database.execute(
                    "UPDATE keys SET last_used = greatest(last_used, $2) WHERE id = $1", kept.key.id, int(now)
                )
            )
        return kept.caller

    def _later(self, work: Any) -> None:
        async def quietly() -> None:
            try:
                await work
            except Exception:  # when the key was last used is worth no request
                return

        task = asyncio.get_running_loop().create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle_down(self) -> None:
        """Wait for what was handed over."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Read the generation, once for all who wait."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._read_generation())
        await asyncio.shield(self._looking)

    async def _read_generation(self) -> None:
        began = self._monotonic()
        generation = await self._database.value("SELECT n FROM generation")
        if generation != self._generation:
            self._kept.clear()
            self._generation = generation
        self._looked = began

    async def _find(self, stored: bytes) -> _Kept | None:
        row = await self._database.row(_LOOKUP, stored)
        if row is None or row["revoked"] is not None or row["account_disabled"]:
            return None
        key = _key(row)
        caller = Caller(
            account_id=key.account_id, key_id=key.id, key_label=key.label, key_name=key.name, models=key.models,
            monthly_limit=key.monthly_limit, requests_per_minute=key.requests_per_minute,
            account_requests_per_minute=row["account_rate"],
        )  # fmt: skip
        kept = _Kept(caller, key, (row["until"], key.expires_at), key.last_used_at or 0)
        # What was read may be newer than the generation that is known here, never older.
        if row["generation"] == self._generation:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[stored] = kept
        return kept

    def forget(self) -> None:
        """Keep no answer: this process's own change counts here at once."""
        self._kept.clear()
        self._looked = float("-inf")

    async def get_key(self, key_id: str, *, account_id: str | None = None) -> Key | None:
        """By id."""
        row = await self._database.row(_BY_ID, key_id, account_id)
        return None if row is None else _key(row)

    async def list_keys(self, account_id: str | None = None) -> list[Key]:
        """In order of creation."""
        rows = await self._database.rows(
            "SELECT * FROM gw_keys WHERE $1::text IS NULL OR account = $1 ORDER BY n", account_id
        )
        return [_key(row) for row in rows]

    async def update_key(self, key_id: str, settings: KeySettings, *, account_id: str | None = None) -> Key | None:
        """All settings, in one statement."""
        s = checked_settings(settings, self._database.now())
        return await self._change(
            _SET, key_id, account_id, s.name, s.expires_at, s.monthly_limit, s.models, s.requests_per_minute,
            s.ip_allow, s.alert_thresholds,
        )  # fmt: skip

    async def _change(self, sql: str, key_id: str, account_id: str | None, *values: Any) -> Key | None:
        changed = await self._database.value(sql, key_id, account_id, *values)
        self.forget()
        return None if changed is None else await self.get_key(key_id)

    async def rotate_key(
        self, key_id: str, *, grace: float = 0.0, account_id: str | None = None
    ) -> tuple[Key, str] | None:
        """The old secrets end at the latest after `grace`."""
        if not 0 <= grace <= LONGEST_GRACE:
            raise CallerFault("grace: expected seconds from 0 to 2592000.", param="grace")
        plain = new_key(self._settings.key_prefix)
        end = self._database.now() + int(grace)

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> Key | None:
            number = await connection.fetchval(_LOCK, key_id, account_id)
            if number is None:
                return None
            await connection.execute("UPDATE secrets SET until = least(until, $2) WHERE key = $1", number, end)
            await connection.execute(
                "INSERT INTO secrets (digest, key) VALUES ($1, $2)", digest(self._pepper, plain), number
            )
            await connection.execute(
                "UPDATE keys SET label = $2 WHERE n = $1", number, label_of(plain, self._settings.key_prefix)
            )
            await connection.fetchval("SELECT gw_changed()")
            row = await connection.fetchrow(_BY_ID, key_id, None)
            assert row is not None
            return _key(row)

        key = await self._database.transaction(work)
        self.forget()
        return None if key is None else (key, plain)

    async def revoke_key(self, key_id: str, *, account_id: str | None = None) -> Key | None:
        """The first time stays."""
        return await self._change(_REVOKE, key_id, account_id, self._database.now())

    async def month_use(self, key_id: str, period: str) -> tuple[int, int]:
        """One row."""
        row = await self._database.row(
            "SELECT m.used, m.held FROM months AS m JOIN keys AS k ON k.n = m.key WHERE k.id = $1 AND m.period = $2",
            key_id, read_period(period),
        )  # fmt: skip
        return (0, 0) if row is None else (row[0], row[1])
