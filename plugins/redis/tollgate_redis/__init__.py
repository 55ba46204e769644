"""Rate windows in Redis or Valkey: exact over all gateways that share it, one round trip for each request.

One script decides and counts in one step. The clock is the server's, and never goes back: a time that is older than the
newest of a window counts as that one. Windows that nobody hits any more expire by themselves. All names share one hash
tag, so a cluster keeps them on one node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.api import GatewayFault, hookimpl
from gateway.api.stores import CountersKind, Window, window_of

if TYPE_CHECKING:
    import redis.asyncio

_WITHIN = 1.0
"""Seconds for a question, with the connection that it may need."""
# ARGV: the window's length, the time or '', in how many of the keys to count (the first ones), then the limit of each
# key. Returns whether those that count had room, whether the others have, the time, and for each key: how many events,
# the newest, and the one whose end makes room for the next.
_SCRIPT = """
local length, counted = tonumber(ARGV[1]), tonumber(ARGV[3])
local now = tonumber(ARGV[2])
if now == nil then
    local clock = redis.call('TIME')
    now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
end
for _, key in ipairs(KEYS) do
    local newest = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
    if newest[2] and tonumber(newest[2]) > now then now = tonumber(newest[2]) end
end
local since, room, roomy = string.format('%.6f', now - length), true, true
for place, key in ipairs(KEYS) do
    if redis.call('ZCOUNT', key, '(' .. since, '+inf') >= tonumber(ARGV[3 + place]) then
        if place <= counted then room = false else roomy = false end
    end
end
local found = {}
for place, key in ipairs(KEYS) do
    if place <= counted then
        redis.call('ZREMRANGEBYSCORE', key, '-inf', since)
        if room then
            local number = redis.call('INCR', '{tollgate}:number')
            redis.call('ZADD', key, string.format('%.6f', now), number)
            redis.call('PEXPIRE', key, math.ceil(length * 1000) + 1000)
        end
    end
    local live = redis.call('ZCOUNT', key, '(' .. since, '+inf')
    local newest = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
    local freeing = redis.call('ZRANGE', key, -tonumber(ARGV[3 + place]), -tonumber(ARGV[3 + place]), 'WITHSCORES')
    found[place] = {live, newest[2] or '', freeing[2] or ''}
end
return {room and 1 or 0, roomy and 1 or 0, string.format('%.6f', now), found}
"""


class RedisCounters:
    """`gateway.stores.OpenCounters`. clock: a test's; the server's own without it."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        import redis.asyncio
        import redis.exceptions
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._clock = clock
        # Once more where a connection was closed meanwhile; never where there was no answer, since whoever asks has
        # waited long enough, and would be counted twice.
        again = Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
        self._client: redis.asyncio.Redis = redis.asyncio.from_url(
            url, socket_timeout=_WITHIN, socket_connect_timeout=_WITHIN, max_connections=32, retry=again
        )
        self._script = self._client.register_script(_SCRIPT)

    async def hit(
        self, names_and_limits: Sequence[tuple[str, int]], window: float, *, seen: Sequence[tuple[str, int]] = ()
    ) -> Sequence[Window]:
        """Count in every window, or in none. Raises GatewayFault(503) when Redis is away."""
        return await self._ask(names_and_limits, seen, window)

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """What `hit` would find."""
        return await self._ask((), names_and_limits, window)

    async def _ask(
        self, counted: Sequence[tuple[str, int]], seen: Sequence[tuple[str, int]], window: float
    ) -> Sequence[Window]:
        import redis.exceptions

        asked = (*counted, *seen)
        if not asked:
            return []
        keys = [f"{{tollgate}}:window:{window:g}:{name}" for name, _ in asked]
        now: Any = "" if self._clock is None else f"{self._clock():.6f}"
        try:
            async with asyncio.timeout(_WITHIN):
                room, roomy, at, found = await self._script(
                    keys=keys, args=[f"{window:.6f}", now, len(counted), *(limit for _, limit in asked)]
                )
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            # Where one connection is dead the idle ones are, too, and each would cost a question when it is back.
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                await self._client.connection_pool.disconnect(inuse_connections=False)
            raise GatewayFault(
                "The gateway cannot count requests just now. Try again in a moment.",
                status=503, code="counters_away", retry_after=1.0, detail=f"{type(error).__name__}: {error}"[:300],
            ) from error  # fmt: skip
        return [
            window_of(
                bool(room if place < len(counted) else roomy), limit, count=live, newest=float(newest or 0),
                freeing=float(freeing or 0), now=float(at), window=window,
            )
            for place, ((_, limit), (live, newest, freeing)) in enumerate(zip(asked, found, strict=True))
        ]  # fmt: skip

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()


class RedisKind:
    """`gateway.stores.CountersKind` for `redis://`, `rediss://` (TLS) and `unix://`."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """`redis`, `rediss`, `unix`"""
        return ("redis", "rediss", "unix")

    def check(self, url: str) -> str:
        """A host, or the path of a socket."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            return "must be a URL such as redis://localhost:6379/0"
        if not (parts.path if parts.scheme == "unix" else parts.hostname):
            return "must name a host, such as redis://localhost:6379/0, or a socket, unix:///run/redis.sock"
        return ""

    async def open(self, url: str) -> RedisCounters:
        """Connects with the first hit."""
        return RedisCounters(url)


@hookimpl
def register_counters(register: Callable[[CountersKind], None]) -> None:
    """Offer `redis://`."""
    register(RedisKind())
