"""Rate windows; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import GatewayFault


@dataclass(slots=True)
class Window:
    """State of a sliding window after a hit. `reset`: seconds until the window is wholly free again;
    `retry_after`: seconds until the next hit would be allowed, 0.0 when it is now."""

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


class Counters(Protocol):
    """Rate windows. Exact over every process that shares them; which these are is the store's to say (one process,
    one machine, all). Nothing here needs to survive a restart: a window is forgotten after its length. Asked by every
    request, so it costs microseconds, or one round trip. A store that cannot count fails closed: GatewayFault(503)."""

    async def hit(
        self, names_and_limits: Sequence[tuple[str, int]], window: float, *, seen: Sequence[tuple[str, int]] = ()
    ) -> Sequence[Window]:
        """Count one event in every named sliding window of `window` seconds, or, when any of them is full,
        in none of them. Exact: never more than `limit` events within any `window` seconds. The clock is the store's
        own and never goes back, whatever the hosts' clocks do.

        seen: windows of the same length that are told of in the same round trip, after those that count, as `peek`
        would find them."""

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """The state that `hit` would find, without counting anything."""


class OpenCounters(Counters, Protocol):
    """Counters apart from the store, with connections of their own."""

    async def close(self) -> None:
        """Let go of everything. Idempotent."""


class CountersKind(Protocol):
    """A place for rate windows apart from the store, as `register_counters` takes it. The scheme of `counters.url`
    chooses it."""

    @property
    def schemes(self) -> Sequence[str]:
        """The URL schemes it answers to, in lower case."""

    def check(self, url: str) -> str:
        """What is wrong with a URL of one of its schemes, as `must ...`; "" when nothing is. Opens nothing."""

    async def open(self, url: str) -> OpenCounters:
        """Counters at this address. One that is away now raises nothing here, but GatewayFault(503) when it is
        asked."""


class SpareCounters:
    """Counters that may go away, with others in their place meanwhile; never is a request counted nowhere.

    spare: the store's counters, None to refuse while the first are away. The first are asked again after `again`
    seconds, by one request. Whatever the first raise, they are away: they are a plugin's. told: called with what they
    should not have raised, once while they are away.
    """

    def __init__(
        self,
        first: OpenCounters,
        spare: Counters | None,
        told: Callable[[Exception], None],
        *,
        monotonic: Callable[[], float],
        again: float = 1.0,
    ) -> None:
        self._first = first
        self._spare = spare
        self._told = told
        self._monotonic = monotonic
        self._again = again
        self._until = float("-inf")
        self.away = False

    async def hit(
        self, names_and_limits: Sequence[tuple[str, int]], window: float, *, seen: Sequence[tuple[str, int]] = ()
    ) -> Sequence[Window]:
        """Count at the first, else at the spare ones."""
        return await self._ask(lambda counters: counters.hit(names_and_limits, window, seen=seen))

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """Look where `hit` would count."""
        return await self._ask(lambda counters: counters.peek(names_and_limits, window))

    async def _ask(self, question: Callable[[Counters], Awaitable[Sequence[Window]]]) -> Sequence[Window]:
        if self._asks_first():
            try:
                windows = await question(self._first)
            except GatewayFault:
                self._go_without()
                if self._spare is None:
                    raise
            except Exception as error:  # a plugin's own: to fail here would refuse every request
                if not self.away:
                    self._told(error)
                self._go_without()
            else:
                self.away = False
                return windows
        return await question(self._in_place())

    def _go_without(self) -> None:
        self.away, self._until = True, self._monotonic() + self._again

    def _asks_first(self) -> bool:
        if not self.away:
            return True
        now = self._monotonic()
        if now < self._until:
            return False
        # The others do not wait for the answer of the one that tries.
        self._until = now + self._again
        return True

    def _in_place(self) -> Counters:
        if self._spare is None:
            raise GatewayFault(
                "The gateway cannot count requests just now. Try again in a moment.",
                status=503,
                code="counters_away",
                retry_after=self._again,
            )
        return self._spare

    async def close(self) -> None:
        """Close the first; the spare ones are the store's."""
        await self._first.close()
