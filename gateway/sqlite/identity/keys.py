"""Keys on SQLite: made, listed, changed, rotated, revoked. `gateway.sqlite.identity.authentication` checks them."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import orjson

from gateway.api import Caller, CallerFault, Refusal
from gateway.api.stores import (
    KEY_PEPPER,
    Key,
    KeySettings,
    checked_settings,
    derive,
    digest,
    label_of,
    new_key,
    no_account,
    random_text,
    read_period,
)
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.identity.authentication import NEW_GENERATION, Authenticator
from gateway.sqlite.money.unit_of_work import Names

_BY_ID = """
    SELECT k.id, a.id, k.name, k.label, k.created, k.expires, k.revoked, k.last_used, k.monthly_limit, k.models,
        k.requests_per_minute, k.ip_allow, k.alert_thresholds
    FROM keys AS k JOIN accounts AS a ON a.n = k.account WHERE k.id = ?
"""
_OF_ACCOUNT = """
    SELECT k.id, a.id, k.name, k.label, k.created, k.expires, k.revoked, k.last_used, k.monthly_limit, k.models,
        k.requests_per_minute, k.ip_allow, k.alert_thresholds
    FROM accounts AS a JOIN keys AS k ON k.account = a.n WHERE a.id = ? ORDER BY k.n
"""
_ALL = """
    SELECT k.id, a.id, k.name, k.label, k.created, k.expires, k.revoked, k.last_used, k.monthly_limit, k.models,
        k.requests_per_minute, k.ip_allow, k.alert_thresholds
    FROM keys AS k JOIN accounts AS a ON a.n = k.account ORDER BY k.n
"""
_ACTIVE = """
    SELECT count(*) FROM keys WHERE account = ? AND revoked IS NULL AND (expires IS NULL OR expires > ?)
"""
_ADD = """
    INSERT INTO keys (id, account, name, label, created, expires, monthly_limit, models, requests_per_minute, ip_allow,
        alert_thresholds)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SET = """
    UPDATE keys SET name = ?, expires = ?, monthly_limit = ?, models = ?, requests_per_minute = ?, ip_allow = ?,
        alert_thresholds = ?
    WHERE id = ? AND revoked IS NULL
"""
_ADD_SECRET = "INSERT INTO secrets (digest, key) SELECT ?, n FROM keys WHERE id = ?"
_RETIRE_SECRETS = """
    UPDATE secrets SET until = min(coalesce(until, ?1), ?1) WHERE key = (SELECT n FROM keys WHERE id = ?2)
"""
_DROP_SECRETS = "DELETE FROM secrets WHERE key = (SELECT n FROM keys WHERE id = ?) AND until <= ?"
_LABEL = "UPDATE keys SET label = ? WHERE id = ?"
_REVOKE = "UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL"
_MONTH = """
    SELECT m.used, m.held FROM keys AS k JOIN months AS m ON m.key = k.n WHERE k.id = ? AND m.period = ?
"""


def _key(row: Row) -> Key:
    key_id, account_id, name, label, created, expires, revoked, used, limit, models, rate, ip_allow, alerts = row
    return Key(
        key_id,
        account_id,
        name,
        label,
        created,
        expires,
        revoked,
        used,
        limit,
        _texts(models),
        rate,
        _texts(ip_allow),
        None if alerts is None else tuple(orjson.loads(alerts)),
    )


def _texts(stored: str | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(orjson.loads(stored))


def _stored(values: Sequence[str | int] | None) -> str | None:
    return None if values is None else orjson.dumps(values).decode()


def _live(connection: sqlite3.Connection, key_id: str, account_id: str | None) -> Row | None:
    """The row of a key that is not revoked, of this account when one is given."""
    row: Row | None = connection.execute(_BY_ID, (key_id,)).fetchone()
    if row is None or row[6] is not None or account_id not in (None, row[1]):
        return None
    return row


T = TypeVar("T")


class SqliteKeys:
    """`gateway.stores.Keys`. prefix: how key texts begin; per_account: how many active keys an account may have."""

    def __init__(self, core: Core, secret: bytes, prefix: str, per_account: int) -> None:
        self._core = core
        self._pepper = derive(secret, KEY_PEPPER)
        self._prefix = prefix
        self._per_account = per_account
        self._authenticator = Authenticator(core, self._pepper, prefix)

    def forget(self) -> None:
        """Accounts were changed by this process: look callers up again."""
        self._authenticator.forget()

    async def authenticate(self, plain: str, remote: str) -> Caller | None:
        """The caller behind a plain key, or None when it is unknown, expired, revoked, or of a disabled account."""
        return await self._authenticator.authenticate(plain, remote)

    async def create_key(self, account_id: str, settings: KeySettings) -> tuple[Key, str]:
        """Raises Refusal(400, too_many_keys), Refusal(404) without such an account, and
        CallerFault (400) naming a setting that is wrong."""
        now = self._core.now()
        wanted = checked_settings(settings, now)
        key_id = "key_" + random_text(16)
        plain = new_key(self._prefix)
        stored = digest(self._pepper, plain)
        values = (wanted.name, label_of(plain, self._prefix), now, wanted.expires_at, wanted.monthly_limit,
                  _stored(wanted.models), wanted.requests_per_minute, _stored(wanted.ip_allow),
                  _stored(wanted.alert_thresholds))  # fmt: skip

        def work(connection: sqlite3.Connection, _: Names) -> Key:
            account = connection.execute("SELECT n FROM accounts WHERE id = ?", (account_id,)).fetchone()
            if account is None:
                raise no_account()
            if connection.execute(_ACTIVE, (account[0], now)).fetchone()[0] >= self._per_account:
                raise Refusal(
                    f"This account has {self._per_account} active keys, the most it may have: revoke one first.",
                    status=400,
                    code="too_many_keys",
                )
            connection.execute(_ADD, (key_id, account[0], *values))
            connection.execute(_ADD_SECRET, (stored, key_id))
            return _key(connection.execute(_BY_ID, (key_id,)).fetchone())

        return await self._core.write(work), plain

    async def get_key(self, key_id: str, *, account_id: str | None = None) -> Key | None:
        """The key with this id, of this account when one is given."""
        row = await self._core.reader.row(_BY_ID, (key_id,))
        if row is None or account_id not in (None, row[1]):
            return None
        return _key(row)

    async def list_keys(self, account_id: str | None = None) -> list[Key]:
        """All keys (revoked ones too) of one account or of all, in order of creation."""
        if account_id is None:
            rows = await self._core.reader.rows(_ALL, slow=True)
        else:
            rows = await self._core.reader.rows(_OF_ACCOUNT, (account_id,))
        return [_key(row) for row in rows]

    async def update_key(self, key_id: str, settings: KeySettings, *, account_id: str | None = None) -> Key | None:
        """All settings in one statement, and a new generation for `authenticate`."""
        now = self._core.now()
        wanted = checked_settings(settings, now)
        values = (wanted.name, wanted.expires_at, wanted.monthly_limit, _stored(wanted.models),
                  wanted.requests_per_minute, _stored(wanted.ip_allow),
                  _stored(wanted.alert_thresholds), key_id)  # fmt: skip

        def work(connection: sqlite3.Connection, _: Names) -> Key | None:
            if _live(connection, key_id, account_id) is None:
                return None
            connection.execute(_SET, values)
            connection.execute(NEW_GENERATION)
            return _key(connection.execute(_BY_ID, (key_id,)).fetchone())

        return await self._changed(self._core.write(work))

    async def rotate_key(
        self, key_id: str, *, grace: float = 0.0, account_id: str | None = None
    ) -> tuple[Key, str] | None:
        """grace: 0 to 30 days, in seconds."""
        if not 0 <= grace <= 30 * 86_400:
            raise CallerFault("grace: expected seconds from 0 to 2592000.", param="grace")
        now = self._core.now()
        plain = new_key(self._prefix)
        stored = digest(self._pepper, plain)

        def work(connection: sqlite3.Connection, _: Names) -> Key | None:
            if _live(connection, key_id, account_id) is None:
                return None
            connection.execute(_RETIRE_SECRETS, (now + int(grace), key_id))
            connection.execute(_DROP_SECRETS, (key_id, now))
            connection.execute(_ADD_SECRET, (stored, key_id))
            connection.execute(_LABEL, (label_of(plain, self._prefix), key_id))
            connection.execute(NEW_GENERATION)
            return _key(connection.execute(_BY_ID, (key_id,)).fetchone())

        key = await self._changed(self._core.write(work))
        return None if key is None else (key, plain)

    async def revoke_key(self, key_id: str, *, account_id: str | None = None) -> Key | None:
        """Revoke for good; the key as it is now, also when it was revoked before; None when it is unknown."""
        now = self._core.now()

        def work(connection: sqlite3.Connection, _: Names) -> Key | None:
            row = connection.execute(_BY_ID, (key_id,)).fetchone()
            if row is None or account_id not in (None, row[1]):
                return None
            connection.execute(_REVOKE, (now, key_id))
            connection.execute(_DROP_SECRETS, (key_id, now))
            connection.execute(NEW_GENERATION)
            return _key(connection.execute(_BY_ID, (key_id,)).fetchone())

        return await self._changed(self._core.write(work))

    async def _changed(self, writing: Awaitable[T]) -> T:
        """Wait for a change, then forget what was kept; also when the caller is cancelled meanwhile."""
        try:
            return await writing
        finally:
            self._authenticator.forget()

    async def month_use(self, key_id: str, period: str) -> tuple[int, int]:
        """One row."""
        row = await self._core.reader.row(_MONTH, (key_id, read_period(period)))
        return (0, 0) if row is None else (row[0], row[1])
