"""Sliding windows, exact: the times of the events themselves are kept, so no burst slips through where two fixed
windows meet. A time counts against the limit while it is less than one window old."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from gateway.stores.counters import Window


class SlidingWindows:
    """`gateway.stores.Counters` for one process.

    A window takes room for at most `limit` times. The windows are kept in the order of their last hit, and each hit
    drops up to two idle ones from the other end, so memory follows the traffic and no sweep ever takes long.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._by_length: dict[float, dict[str, deque[float]]] = {}

    async def hit(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """Count in every window, or in none."""
        now = self._monotonic()
        kept = self._by_length.get(window)
        if kept is None:
            kept = self._by_length[window] = {}
        since = now - window
        rows: list[deque[float]] = []
        full = False
        for name, limit in names_and_limits:
            times = kept.pop(name, None)
            if times is None:
                times = deque()
            else:
                while times and times[0] <= since:
                    times.popleft()
            kept[name] = times
            rows.append(times)
            if len(times) >= limit:
                full = True
        if not full:
            for times in rows:
                times.append(now)
        self._drop_idle(kept, since)
        return [
            window_state(not full, limit, times, now, window)
            for (_, limit), times in zip(names_and_limits, rows, strict=True)
        ]

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """What `hit` would find."""
        now = self._monotonic()
        kept = self._by_length.get(window, {})
        rows = [kept.get(name) or deque[float]() for name, _ in names_and_limits]
        for times in rows:
            while times and times[0] <= now - window:
                times.popleft()
        allowed = all(len(times) < limit for (_, limit), times in zip(names_and_limits, rows, strict=True))
        return [
            window_state(allowed, limit, times, now, window)
            for (_, limit), times in zip(names_and_limits, rows, strict=True)
        ]

    @staticmethod
    def _drop_idle(kept: dict[str, deque[float]], since: float) -> None:
        for _ in range(2):
            name = next(iter(kept), None)
            if name is None:
                return
            times = kept[name]
            if times and times[-1] > since:
                return
            del kept[name]

    def __len__(self) -> int:
        """How many windows are kept."""
        return sum(len(kept) for kept in self._by_length.values())


def window_state(allowed: bool, limit: int, times: Sequence[float], now: float, window: float) -> Window:
    """What to tell about a window that holds `times`, all of them less than one window old, oldest first."""
    count = len(times)
    if count < limit:
        return Window(allowed, limit, limit - count, times[-1] + window - now if count else 0.0, 0.0)
    if limit <= 0:
        return Window(False, limit, 0, window, window)
    return Window(allowed, limit, 0, times[-1] + window - now, times[count - limit] + window - now)
