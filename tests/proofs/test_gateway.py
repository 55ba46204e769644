"""The proofs of `scripts/gateway-soak`, at the size of a test suite: real processes, killed, raced and left."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from gateway.testing import ForkServer

# The soak's own side reads files and starts processes. One server forks all gateways, so one loop hears of them.
pytestmark = [pytest.mark.slow, pytest.mark.blocking_allowed, pytest.mark.asyncio(loop_scope="module")]


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forks() -> AsyncIterator[ForkServer]:
    async with ForkServer() as forks:
        yield forks


@pytest.fixture
def ground(soak: ModuleType, forks: ForkServer, tmp_path: Path) -> Any:
    return soak.Ground(tmp_path / "ground", forks)


async def test_exactly_what_the_balance_pays_for(soak: ModuleType, ground: Any) -> None:
    assert "exactly 100 answered" in await soak.race(ground, 1, 1)


async def test_several_workers_are_one_and_leave_nothing_behind(soak: ModuleType, ground: Any) -> None:
    """Each worker is an interpreter of its own, so one set of them goes through all."""
    async with soak.a_site(ground) as site:
        await site.start(3)
        assert "exactly 100 answered" in await soak.race_at(site, 1)
        assert "one call and one charge" in await soak.same_key_at(site, 2)
        await soak.supervisor_at(site, random.Random(11), streams=40)
        await site.stop()


async def test_killed_at_every_named_point_and_at_random(soak: ModuleType, ground: Any) -> None:
    told = await soak.kill(ground, [*soak.POINTS, "random"], 11, streams=60)
    assert "8 processes killed" in told


async def test_callers_who_leave_pay_for_what_came(soak: ModuleType, ground: Any) -> None:
    assert "500 callers left" in await soak.leave(ground, 500, 11)


async def test_months_over_clock_steps(soak: ModuleType, ground: Any) -> None:
    assert "exactly 5 in each" in await soak.calendar(ground)


async def test_bills_of_a_locked_database_are_written_later(soak: ModuleType, ground: Any) -> None:
    assert "40 answers ended" in await soak.locked(ground, 1, streams=40, seconds=3.0)


async def test_every_door_before_every_kind_of_upstream(soak: ModuleType, ground: Any) -> None:
    assert "5 doors before 4 kinds" in await soak.doors(ground, 160, 11)
