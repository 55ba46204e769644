"""The proofs of `scripts/money-soak`, at the size of a test suite."""

from __future__ import annotations

import pytest


async def test_exactly_what_the_balance_pays_for(soak, tmp_path):
    assert "exactly 100 accepted" in await soak.race(tmp_path, 1, 3)


@pytest.mark.slow
async def test_exactly_what_the_balance_pays_for_over_four_processes(soak, tmp_path):
    assert "exactly 100 accepted" in await soak.race(tmp_path, 4, 1)


async def test_cancelled_callers_leave_nothing_behind(soak, tmp_path):
    assert "2000 callers" in await soak.cancel(tmp_path, 2000, seed=11)


@pytest.mark.slow
async def test_killed_processes_leave_nothing_behind(soak, tmp_path):
    assert "7 processes killed" in await soak.kill(tmp_path, 7, seed=11)


async def test_the_sums_of_a_usage_log_and_its_size(soak, tmp_path):
    told = await soak.usage(tmp_path, 20_000)
    assert int(told.split(", ")[1].split()[0]) < 80


async def test_a_batch_of_calls_is_committed_together(soak, tmp_path):
    told = await soak.speed(tmp_path, 320)
    assert float(told.split(" CPU and ")[1].split()[0]) < 0.5
