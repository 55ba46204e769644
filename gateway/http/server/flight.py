"""Bytes in flight: bodies that were read and belong to requests that go on, and whole answers that their callers have
not taken yet. They lie in memory, so one account's have a cap, and everybody's together."""

from __future__ import annotations

from collections import defaultdict

from gateway.errors import Fault, GatewayFault, too_fast

FREE = 64 * 1024
"""Bytes of one request that are not counted: most requests stay below, and pay nothing for this."""
_SOON = 1.0


class InFlight:
    """What is in flight in one process. total, account: bytes of everybody and of one account so far."""

    def __init__(self) -> None:
        self.total = 0
        self.account: defaultdict[str, int] = defaultdict(int)

    def add(self, account: str, size: int) -> None:
        """Count `size` bytes, which may be negative."""
        self.total += size
        if account:
            self.account[account] += size
            if not self.account[account]:
                del self.account[account]


class Flight:
    """The part of one request. most, most_of_account: the caps, in bytes. account: whose it is, "" while nobody's."""

    __slots__ = ("_counted", "_in_flight", "_most", "_most_of_account", "account", "size")

    def __init__(self, in_flight: InFlight, most: int, most_of_account: int) -> None:
        self.account = ""
        self.size = 0
        self._counted: tuple[str, int] | None = None
        self._in_flight = in_flight
        self._most = most
        self._most_of_account = most_of_account

    def take(self, size: int) -> None:
        """Another `size` bytes are about to be held. Raises Fault (503, 429) when that is too much."""
        if self.size + size > FREE:
            self.check(size)
        self.hold(size)

    def hold(self, size: int) -> None:
        """As `take`, for what cannot be refused any more: an answer that is paid for."""
        self.size += size
        if self.size > FREE:
            before = self._counted
            if before is None or before[0] != self.account:
                self._let_go()
                before = (self.account, 0)
            self._in_flight.add(self.account, self.size - before[1])
            self._counted = (self.account, self.size)

    def check(self, size: int = 0) -> None:
        """May `size` bytes more be held for this account? Raises Fault (503, 429)."""
        if self._in_flight.total + size > self._most:
            raise _too_much_in_all()
        if self.account and self._in_flight.account.get(self.account, 0) + size > self._most_of_account:
            raise too_fast(
                f"Too much at once: this account has {self._most_of_account} bytes of requests and unread answers in "
                "flight (server.max_in_flight_per_account). Wait for some to end, and read their answers.",
                code="too_many_bytes_in_flight",
                retry_after=_SOON,
            )

    def release(self) -> None:
        """Nothing of this request is held any more. Idempotent."""
        self._let_go()
        self.size = 0

    def _let_go(self) -> None:
        counted, self._counted = self._counted, None
        if counted is not None:
            self._in_flight.add(counted[0], -counted[1])


def _too_much_in_all() -> Fault:
    return GatewayFault(
        "The gateway is busy with other large requests (server.max_in_flight); try again in a moment.",
        status=503,
        type="overloaded",
        code="overloaded",
        retry_after=_SOON,
        headers={"connection": "close"},
    )
