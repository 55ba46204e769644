"""How fast: exact sliding windows of 60 seconds.

Model calls count in one per account, and in a smaller one per key where it has one. Every request of an account, of
whatever kind and however it ends, counts in another that is much larger, before its body is read.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from gateway.api import App, Call, Counters, Window, hookimpl, too_fast

WINDOW = 60.0


class Settings(BaseModel):
    """requests_per_minute: model calls of an account that has no limit of its own. other_requests_per_minute: how many
    requests an account may send besides so many model calls; what is refused is among them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    requests_per_minute: int = Field(60, ge=1, le=10**9)
    other_requests_per_minute: int = Field(600, ge=1, le=10**9)


class Plugin:
    """Counts model calls per account and key, and tells the caller where it stands on every answer."""

    @hookimpl
    def config_model(self) -> type[BaseModel]:
        return Settings

    @hookimpl
    async def start_up(self, app: App) -> None:
        self._counters: Counters = app.stores.counters
        settings = app.section("rate_limit")
        self._default: int = settings.requests_per_minute
        self._other: int = settings.other_requests_per_minute

    @hookimpl
    async def count_request(self, call: Call, generates: bool) -> None:
        """A model call is looked at here, too, so that one for which there is no room is not read first; it counts
        when it is admitted."""
        account, *_ = limits = self._limits(call)
        name, calls = account
        # An answer that is given again is no call.
        looked_at = limits if generates and "idempotency-key" not in call.headers else ()
        window, *seen = await self._counters.hit([(f"requests:{name}", calls + self._other)], WINDOW, seen=looked_at)
        if not window.allowed:
            _tell(call, [window])
            raise too_fast(
                f"Too many requests: an account may send {window.limit} of any kind per minute. "
                f"Try again in {window.retry_after:.1f} seconds.",
                retry_after=window.retry_after,
            )
        if seen:
            _refuse_if_full(_tell(call, seen))

    @hookimpl
    async def authorize_call(self, call: Call) -> None:
        """Nothing is counted here; a request that calls no model only learns the state of the window."""
        if call.model:
            return
        windows = await self._counters.peek(self._limits(call), WINDOW)
        _tell(call, windows)

    @hookimpl
    async def admit_call(self, call: Call) -> None:
        explanation = call.explanation
        if explanation is not None and explanation.in_batch:
            return
        ask = self._counters.hit if explanation is None else self._counters.peek
        tightest = _tell(call, await ask(self._limits(call), WINDOW))
        if explanation is not None:
            explanation.note(
                requests_per_minute=tightest.limit,
                remaining=tightest.remaining,
                reset_seconds=round(tightest.reset, 3),
            )
        _refuse_if_full(tightest)

    def _limits(self, call: Call) -> list[tuple[str, int]]:
        caller = call.caller
        assert caller is not None
        limits = [(f"account:{caller.account_id}", caller.account_requests_per_minute or self._default)]
        if caller.requests_per_minute is not None:
            limits.append((f"key:{caller.key_id}", caller.requests_per_minute))
        return limits


def _refuse_if_full(window: Window) -> None:
    if not window.allowed:
        raise too_fast(
            f"Rate limit reached: {window.limit} request{'' if window.limit == 1 else 's'} per minute. "
            f"Try again in {window.retry_after:.1f} seconds.",
            retry_after=window.retry_after,
        )


def _tell(call: Call, windows: Sequence[Window]) -> Window:
    """Put the window with the least room into the answer's headers, and return it."""
    tightest = windows[0]
    if len(windows) > 1:
        tightest = min(windows, key=lambda window: (window.allowed, window.remaining))
    headers = call.answer_headers
    headers["x-ratelimit-limit-requests"] = str(tightest.limit)
    headers["x-ratelimit-remaining-requests"] = str(tightest.remaining)
    headers["x-ratelimit-reset-requests"] = f"{tightest.reset:.3f}s"
    return tightest
