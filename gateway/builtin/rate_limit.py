"""How fast: an exact sliding window of 60 seconds per account, and a smaller one per key where it has one."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from gateway.api import App, Call, Counters, Window, hookimpl, too_fast

WINDOW = 60.0


class Settings(BaseModel):
    """requests_per_minute: the limit of an account that has none of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int = Field(60, ge=1, le=10**9)


class Plugin:
    """Counts model calls per account and key, and tells the caller where it stands on every answer."""

    @hookimpl
    def config_model(self) -> type[BaseModel]:
        return Settings

    @hookimpl
    async def start_up(self, app: App) -> None:
        self._counters: Counters = app.stores.counters
        self._default: int = app.section("rate_limit").requests_per_minute

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
        ask = self._counters.hit if explanation is None else self._counters.peek
        windows = await ask(self._limits(call), WINDOW)
        tightest = _tell(call, windows)
        if explanation is not None:
            explanation.note(
                requests_per_minute=tightest.limit,
                remaining=tightest.remaining,
                reset_seconds=round(tightest.reset, 3),
            )
        if not tightest.allowed:
            raise too_fast(
                f"Rate limit reached: {tightest.limit} requests per minute. "
                f"Try again in {tightest.retry_after:.1f} seconds.",
                retry_after=tightest.retry_after,
            )

    def _limits(self, call: Call) -> list[tuple[str, int]]:
        caller = call.caller
        assert caller is not None
        limits = [(f"account:{caller.account_id}", caller.account_requests_per_minute or self._default)]
        if caller.requests_per_minute is not None:
            limits.append((f"key:{caller.key_id}", caller.requests_per_minute))
        return limits


def _tell(call: Call, windows: Sequence[Window]) -> Window:
    """Put the window with the least room into the answer's headers, and return it."""
    tightest = min(windows, key=lambda window: (window.allowed, window.remaining))
    call.answer_headers["x-ratelimit-limit-requests"] = str(tightest.limit)
    call.answer_headers["x-ratelimit-remaining-requests"] = str(tightest.remaining)
    call.answer_headers["x-ratelimit-reset-requests"] = f"{tightest.reset:.3f}s"
    return tightest
