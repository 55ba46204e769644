"""A usage row for every request that was identified, whatever became of it."""

from __future__ import annotations

from gateway.api import App, Call, Outcome, UsageLog, UsageRow, hookimpl


class Plugin:
    """Hands one row per call to the usage store; the store writes it together with the settlement."""

    @hookimpl
    async def start_up(self, app: App) -> None:
        self._usage: UsageLog = app.stores.usage

    @hookimpl
    async def finish_call(self, call: Call, outcome: Outcome) -> None:
        caller = call.caller
        if caller is None or not call.candidates or call.explanation is not None:
            # A body that could not be read names no model; the request log has its line.
            return
        self._usage.record(
            UsageRow(
                request_id=call.id,
                account_id=caller.account_id,
                key_id=caller.key_id,
                model=call.model,
                target=outcome.target.model if outcome.target is not None else "",
                route=call.route,
                status=outcome.status,
                usage=outcome.usage,
                basis=outcome.basis,
                created=call.created,
                first_byte_ms=None if outcome.first_byte is None else round(outcome.first_byte * 1000),
                total_ms=round(outcome.total * 1000),
                error=outcome.fault_code,
                tags=call.tags,
            )
        )
