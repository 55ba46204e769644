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

    async def hit(
        self, names_and_limits: Sequence[tuple[str, int]], window: float, *, seen: Sequence[tuple[str, int]] = ()
    ) -> Sequence[Window]:
        """Count in every window, or in none."""
        now = self._monotonic()
        kept = self._by_length.get(window)
        if kept is None:
            kept = self._by_length[window] = {}
        since = now - window
        rows: list[tuple[int, deque[float]]] = []
        full = False
        for name, limit in names_and_limits:
            times = kept.pop(name, None)
            if times is None:
                times = deque()
            else:
                while times and times[0] <= since:
                    times.popleft()
            kept[name] = times
            rows.append((limit, times))
            if len(times) >= limit:
                full = True
        if not full:
            for _, times in rows:
                times.append(now)
        self._drop_idle(kept, since)
        told = [window_state(not full, limit, times, now, window) for limit, times in rows]
        if seen:
            told += self._seen(seen, window, now)
        return told

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """What `hit` would find."""
        return self._seen(names_and_limits, window, self._monotonic())

    def _seen(self, names_and_limits: Sequence[tuple[str, int]], window: float, now: float) -> list[Window]:
        kept = self._by_length.get(window, {})
        since = now - window
        rows: list[tuple[int, Sequence[float]]] = []
        allowed = True
        for name, limit in names_and_limits:
            times = kept.get(name)
            while times and times[0] <= since:
                times.popleft()
            rows.append((limit, times or ()))
            if len(times or ()) >= limit:
                allowed = False
        return [window_state(allowed, limit, times, now, window) for limit, times in rows]

    @staticmethod
    def _drop_idle(kept: dict[str, deque[float]], since: float) -> None:
        idle: list[str] = []
        for name, times in kept.items():
            if len(idle) == 2 or (times and times[-1] > since):
                break
            idle.append(name)
        for name in idle:
            del kept[name]

    def __len__(self) -> int:
        """How many windows are kept."""
        return sum(len(kept) for kept in self._by_length.values())


def window_state(allowed: bool, limit: int, times: Sequence[float], now: float, window: float) -> Window:
    """What to tell about a window that holds `times`, all of them less than one window old, oldest first."""
    count = len(times)
    if 0 < count < limit:
        return Window(allowed, limit, limit - count, times[-1] + window - now, 0.0)
    newest = times[-1] if count else 0.0
    freeing = times[count - limit] if 0 < limit <= count else 0.0
    return window_of(allowed, limit, count=count, newest=newest, freeing=freeing, now=now, window=window)


def window_of(
    allowed: bool, limit: int, *, count: int, newest: float, freeing: float, now: float, window: float
) -> Window:
    """The same for a store that counts elsewhere. count: events that are less than one window old; newest: the time of
    the last; freeing: of the one whose end makes room for the next, where the window is full."""
    if count < limit:
        return Window(allowed, limit, limit - count, newest + window - now if count else 0.0, 0.0)
    if limit <= 0:
        return Window(False, limit, 0, window, window)
    return Window(allowed, limit, 0, newest + window - now, freeing + window - now)
