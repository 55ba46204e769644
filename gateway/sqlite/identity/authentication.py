"""From a key's text to its `Caller`, fast.

Every request asks, so answers are kept: by a full keyed digest of the text, never by a part of it, and by a faster one
than is stored: OpenSSL's lets go of the interpreter, for which a busy loop then waits longer than for it. A kept
answer holds as long as the database's generation number is unchanged; every change to a key or an account raises the
number, and each process reads it again when its last look is older than half a second. So a revocation counts
everywhere well within one second, and a busy process reads one row per half second, however many keys are in use.
Unknown keys are not kept: guesses cost no memory, and those without a right checksum do not even reach the database.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import sqlite3
from dataclasses import dataclass, field
from hashlib import blake2b

import orjson

from gateway.api import Caller, Refusal
from gateway.api.stores import digest, well_formed
from gateway.sqlite.engine.core import Core
from gateway.sqlite.money.operations import SqlOperation
from gateway.sqlite.money.unit_of_work import Names

NEW_GENERATION = "UPDATE facts SET value = value + 1 WHERE name = 'generation'"
"""Tells every process to look up again what `authenticate` has cached."""
LOOK_AGAIN = 0.5
"""Seconds after which the generation is read again before a kept answer is used."""
_MOST_KEPT = 20_000
_TOUCH_EVERY = 60
_LOOKUP = """
    SELECT s.digest, s.until, k.n, k.id, k.label, k.name, k.expires, k.revoked, k.last_used, k.monthly_limit, k.models,
        k.requests_per_minute, k.ip_allow, a.id, a.requests_per_minute, a.disabled,
        (SELECT value FROM facts WHERE name = 'generation')
    FROM secrets AS s JOIN keys AS k ON k.n = s.key JOIN accounts AS a ON a.n = k.account WHERE s.digest = ?
"""
_GENERATION = "SELECT value FROM facts WHERE name = 'generation'"
_TOUCH = "UPDATE keys SET last_used = max(coalesce(last_used, 0), ?) WHERE n = ?"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class _Kept:
    """A good key. until: unix seconds after which it is good no more, or None. networks: from where it may be used.
    allowed: addresses found to be within, as texts."""

    caller: Caller
    number: int
    until: int | None
    networks: tuple[Network, ...] | None
    touched: float
    allowed: set[str] = field(default_factory=set)


class Authenticator:
    """Finds callers by their keys, from memory where they were found a moment ago."""

    def __init__(self, core: Core, pepper: bytes, prefix: str) -> None:
        self._core = core
        self._pepper = pepper
        self._prefix = prefix
        self._kept: dict[bytes, _Kept] = {}
        self._kept_by = secrets.token_bytes(32)
        self._generation = -1
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def authenticate(self, plain: str, remote: str) -> Caller | None:
        """The caller behind a plain key, or None when it is unknown, expired, revoked, or of a disabled account."""
        if not plain.isascii():
            return None
        mark = blake2b(plain.encode(), key=self._kept_by, digest_size=32).digest()
        # Its checksum costs more than to find one that was found before.
        if mark not in self._kept and not well_formed(plain, self._prefix):
            return None
        if self._core.monotonic() - self._looked > LOOK_AGAIN:
            await self._look()
        kept = self._kept.get(mark)
        if kept is None:
            kept = await self._find(plain, mark)
            if kept is None:
                return None
        now = self._core.clock()
        if kept.until is not None and now >= kept.until:
            self._kept.pop(mark, None)
            return None
        if kept.networks is not None and remote not in kept.allowed:
            _check_remote(kept, remote)
        if now - kept.touched >= _TOUCH_EVERY:
            kept.touched = now
            self._touch(kept.number, int(now))
        return kept.caller

    def forget(self) -> None:
        """Look everything up again: something was changed by this very process."""
        self._kept.clear()
        self._looked = float("-inf")

    async def _look(self) -> None:
        """Read the generation; callers that come meanwhile wait for the same reading."""
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._read_generation())
            self._looking.add_done_callback(self._looked_up)
        await asyncio.shield(self._looking)

    def _looked_up(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled():
            task.exception()  # taken here in case that every caller has gone; those who wait get it too

    async def _read_generation(self) -> None:
        began = self._core.monotonic()
        row = await self._core.reader.row(_GENERATION)
        self._now_at(int(row[0]) if row is not None else -1)
        self._looked = began

    def _now_at(self, generation: int) -> None:
        if generation != self._generation:
            self._kept.clear()
            self._generation = generation

    async def _find(self, plain: str, mark: bytes) -> _Kept | None:
        stored = digest(self._pepper, plain)
        row = await self._core.reader.row(_LOOKUP, (stored,))
        if row is None or not hmac.compare_digest(stored, row[0]):
            return None
        (_, until, number, key_id, label, name, expires, revoked, last_used, monthly_limit, models,
         rate, ip_allow, account_id, account_rate, disabled, generation) = row  # fmt: skip
        if revoked is not None or disabled:
            return None
        ends = [time for time in (until, expires) if time is not None]
        kept = _Kept(
            Caller(
                account_id=account_id,
                key_id=key_id,
                key_label=label,
                key_name=name,
                models=None if models is None else tuple(orjson.loads(models)),
                monthly_limit=monthly_limit,
                requests_per_minute=rate,
                account_requests_per_minute=account_rate,
            ),
            number,
            min(ends) if ends else None,
            None if ip_allow is None else tuple(ipaddress.ip_network(text) for text in orjson.loads(ip_allow)),
            float(last_used or 0),
        )
        # Kept only when nothing changed since the last look: else the answer may be older than it claims.
        if generation == self._generation:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[mark] = kept
        return kept

    def _touch(self, number: int, now: int) -> None:
        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.execute(_TOUCH, (now, number))

        self._core.writer.post(SqlOperation(work, beside=True))


def _check_remote(kept: _Kept, remote: str) -> None:
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        address = None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address is None or not any(address in network for network in kept.networks or ()):
        raise Refusal("This API key may not be used from this address.", status=403, code="ip_not_allowed")
    if len(kept.allowed) < 256:
        kept.allowed.add(remote)
