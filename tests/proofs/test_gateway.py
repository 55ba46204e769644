"""The proofs of `scripts/gateway-soak`, at the size of a test suite: real processes, killed, raced and left."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.blocking_allowed]  # the soak's own side reads files and starts processes


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "gateway-soak"
    loader = importlib.machinery.SourceFileLoader("gateway_soak", str(path))
    spec = importlib.util.spec_from_loader("gateway_soak", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules["gateway_soak"] = module
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.mark.parametrize("workers", [1, 4])
async def test_exactly_what_the_balance_pays_for(soak: ModuleType, tmp_path: Path, workers: int) -> None:
    assert "exactly 100 answered" in await soak.race(tmp_path / "race", workers, 1)


async def test_one_idempotency_key_over_two_workers(soak: ModuleType, tmp_path: Path) -> None:
    assert "one call and one charge" in await soak.same_key(tmp_path / "key", 2, 2)


async def test_killed_at_every_named_point_and_at_random(soak: ModuleType, tmp_path: Path) -> None:
    told = await soak.kill(tmp_path / "kill", [*soak.POINTS, "random"], 11, streams=80)
    assert "8 processes killed" in told


async def test_callers_who_leave_pay_for_what_came(soak: ModuleType, tmp_path: Path) -> None:
    assert "1000 callers left" in await soak.leave(tmp_path / "leave", 1000, 11)


async def test_months_over_clock_steps(soak: ModuleType, tmp_path: Path) -> None:
    assert "exactly 5 in each" in await soak.calendar(tmp_path / "calendar")


async def test_a_killed_supervisor_leaves_nothing(soak: ModuleType, tmp_path: Path) -> None:
    assert "no worker stayed" in await soak.supervisor(tmp_path / "supervisor", 1, 11, streams=40)


async def test_bills_of_a_locked_database_are_written_later(soak: ModuleType, tmp_path: Path) -> None:
    assert "40 answers ended" in await soak.locked(tmp_path / "locked", 1, streams=40, seconds=3.0)


async def test_every_door_before_every_kind_of_upstream(soak: ModuleType, tmp_path: Path) -> None:
    assert "5 doors before 4 kinds" in await soak.doors(tmp_path / "doors", 160, 11)
