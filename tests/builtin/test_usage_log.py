"""One row for every call that names a model, without HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api import Outcome, Usage, UsageRow
from gateway.api.stores import unpack_tries
from gateway.builtin.usage_log import Plugin
from gateway.call import AttemptRecord

from .kit import app, call_for, priced


class Log:
    def __init__(self) -> None:
        self.rows: list[UsageRow] = []

    def record(self, row: UsageRow) -> None:
        self.rows.append(row)


async def rows_of(call: Any, outcome: Outcome) -> list[UsageRow]:
    log, plugin = Log(), Plugin()
    await plugin.start_up(app(usage=log))
    await plugin.finish_call(call, outcome)
    return log.rows


async def test_a_call_is_written_down() -> None:
    target = priced("a")
    outcome = Outcome(200, Usage(3, 4), "provider", target, first_byte=0.0126, total=1.5, attempts=2)
    [row] = await rows_of(call_for(target), outcome)
    assert (row.request_id, row.account_id, row.key_id) == ("req_test", "acct_1", "key_1")
    assert (row.model, row.target, row.route, row.status) == ("test/a", "test/a", "/chat/completions", 200)
    assert (row.usage, row.basis, row.created) == (Usage(3, 4), "provider", 1_750_000_000)
    assert (row.first_byte_ms, row.total_ms, row.error, row.tries) == (13, 1500, "", "")


async def test_its_attempts_are_kept() -> None:
    call = call_for(priced("a"))
    call.progress.tries.append(AttemptRecord("test/a", "test", "x", "failed", 503, "down", "off", 1.0, 0.5, None))
    [row] = await rows_of(call, Outcome(502, Usage(), "void"))
    assert unpack_tries(row.tries) == call.progress.tries


async def test_a_call_that_reached_no_target_is_written_down() -> None:
    [row] = await rows_of(call_for(), Outcome(402, Usage(), "void", fault_code="insufficient_quota"))
    assert (row.target, row.status, row.first_byte_ms, row.error) == ("", 402, None, "insufficient_quota")


@pytest.mark.parametrize("missing", ["caller", "candidates"])
async def test_what_names_nobody_or_no_model_makes_no_row(missing: str) -> None:
    call = call_for()
    setattr(call, missing, None if missing == "caller" else ())
    assert await rows_of(call, Outcome(400, Usage(), "void")) == []
