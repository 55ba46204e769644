"""Sliding windows, in memory and shared between processes: the same promises."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import mmap
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayFault
from gateway.sqlite.usage.shared_counters import SharedCounters, _Ring
from gateway.stores import DISK_FULL, Window
from gateway.stores.windows import SlidingWindows


@pytest.fixture(params=["memory", "shared"])
def counters(request, tmp_path, clock):
    if request.param == "memory":
        yield SlidingWindows(clock.monotonic)
        return
    made = SharedCounters(tmp_path / "rates", clock.monotonic)
    yield made
    made.close()


SMALL = [(64, 32), (256, 32), (1024, 32)]


async def hit(counters, limit=3, name="a"):
    return (await counters.hit([(name, limit)], 60.0))[0]


async def test_counts_down_and_refuses(counters, clock):
    clock.steady = 1000.0
    assert await hit(counters) == Window(True, 3, 2, 60.0, 0.0)
    clock.steady += 10
    assert await hit(counters) == Window(True, 3, 1, 60.0, 0.0)
    clock.steady += 10
    assert await hit(counters) == Window(True, 3, 0, 60.0, 40.0)
    clock.steady += 10
    assert await hit(counters) == Window(False, 3, 0, 50.0, 30.0)
    clock.steady += 29.75
    assert (await hit(counters)).retry_after == 0.25
    clock.steady += 0.25
    assert await hit(counters) == Window(True, 3, 0, 60.0, 10.0)


async def test_a_refused_hit_counts_nowhere(counters):
    await hit(counters, 1, "full")
    both = await counters.hit([("roomy", 5), ("full", 1)], 60.0)
    assert [(one.allowed, one.remaining) for one in both] == [(False, 5), (False, 0)]
    assert (await hit(counters, 5, "roomy")).remaining == 4


async def test_peek_changes_nothing(counters, clock):
    await hit(counters)
    for _ in range(3):
        assert await counters.peek([("a", 3), ("b", 1)], 60.0) == [
            Window(True, 3, 2, 60.0, 0.0),
            Window(True, 1, 1, 0.0, 0.0),
        ]
    assert (await counters.peek([("a", 1)], 60.0))[0].allowed is False


async def test_names_and_lengths_are_apart(counters):
    await hit(counters, 1, "a")
    assert (await hit(counters, 1, "b")).allowed
    assert (await counters.hit([("a", 1)], 5.0))[0].allowed
    assert not (await hit(counters, 1, "a")).allowed


async def test_a_lowered_limit_tells_when_there_is_room(counters, clock):
    for _ in range(5):
        await hit(counters, 5)
        clock.steady += 1
    assert await hit(counters, 2) == Window(False, 2, 0, 59.0, 58.0)


async def test_nothing_is_ever_allowed_with_a_limit_of_zero(counters):
    assert await hit(counters, 0) == Window(False, 0, 0, 60.0, 60.0)


@pytest.mark.parametrize("kind", ["memory", "shared"])
@given(st.lists(st.tuples(st.floats(0, 9), st.sampled_from([1, 3, 70, 300])), max_size=60))
def test_never_more_than_the_limit_in_any_window(kind, tmp_path_factory, steps):
    now = 1000.0
    path = tmp_path_factory.mktemp("rates") / "rates"
    counters = SlidingWindows(lambda: now) if kind == "memory" else SharedCounters(path, lambda: now, SMALL)
    counted: list[float] = []

    async def run():
        nonlocal now
        for wait, limit in steps:
            now += wait
            since = [time for time in counted if time > now - 10.0]
            window = (await counters.hit([("a", limit)], 10.0))[0]
            assert window.allowed == (len(since) < limit)
            if window.allowed:
                counted.append(now)
                since.append(now)
            assert window.remaining == max(limit - len(since), 0)
            assert window.reset == pytest.approx(since[-1] + 10.0 - now)
            expected = 0.0 if len(since) < limit else since[len(since) - limit] + 10.0 - now
            assert window.retry_after == pytest.approx(expected)

    asyncio.run(run())
    if isinstance(counters, SharedCounters):
        counters.close()


class TestMemory:
    async def test_idle_windows_are_dropped(self, clock):
        counters = SlidingWindows(clock.monotonic)
        for i in range(1000):
            await hit(counters, 5, f"n{i}")
        assert len(counters) == 1000
        clock.move(60)
        for _ in range(500):
            await hit(counters, 1000, "busy")
        assert len(counters) == 1

    async def test_a_refused_window_takes_no_memory(self, clock):
        counters = SlidingWindows(clock.monotonic)
        for _ in range(100):
            await hit(counters, 3)
        assert len(counters._by_length[60.0]["a"]) == 3


@pytest.fixture
async def share(tmp_path, clock):
    """Opens shared counters on one file, as often as wanted."""
    opened = []

    async def open_one(name="rates", **changes):
        made = await asyncio.to_thread(SharedCounters, tmp_path / name, clock.monotonic, **changes)
        opened.append(made)
        return made

    yield open_one
    for made in opened:
        made.close()


def written_pages(counters):
    memory = counters._room.memory
    pages = range(4096, len(memory), 4096)
    return {page for page in pages if memory[page : page + 4096].strip(b"\0")}


class Died(Exception):
    pass


@pytest.fixture
def mortal(monkeypatch):
    """Maps files so that to write something is a step; after `left` of them whoever writes dies. written: by slices,
    at which place."""

    class Mortal(mmap.mmap):
        def __setitem__(self, at, value):
            step()
            if isinstance(at, slice):
                state.written[at.start] = value
            super().__setitem__(at, value)

    def step():
        if state.left == 0:
            raise Died
        if state.left is not None:
            state.left -= 1

    def add(ring, now, original=_Ring.add):
        step()
        original(ring, now)

    state = SimpleNamespace(left=None, written={})
    monkeypatch.setattr(mmap, "mmap", Mortal)
    monkeypatch.setattr(_Ring, "add", add)
    return state


class TestShared:
    async def test_idle_slots_are_reused_and_a_full_group_fails_closed(self, share, clock):
        counters = await share(classes=[(4, 32)])
        for i in range(32):
            await hit(counters, 3, f"n{i}")
        with pytest.raises(GatewayFault) as failed:
            await hit(counters, 3, "one more")
        assert failed.value.status == 503
        clock.move(60)
        assert (await hit(counters, 3, "one more")).remaining == 2

    async def test_the_file_goes_no_further_than_the_largest_window_needs(self, share, tmp_path):
        one, other = await share(), await share()
        await hit(one, 60)
        small = (tmp_path / "rates").stat().st_size
        assert small < 64 * 2**20
        huge = [("big", 10**9)]
        await one.hit(huge, 60.0)
        assert (tmp_path / "rates").stat().st_size > small
        for counters in (one, other, await share()):
            [window] = await counters.peek(huge, 60.0)
            assert window.remaining == 10**9 - 1, "whoever has it open sees what others added"
            assert (await counters.peek([("a", 60)], 60.0))[0].remaining == 59
        [window] = await other.hit(huge, 60.0)
        assert window.remaining == 10**9 - 2

    async def test_nothing_is_touched_that_has_no_room_on_the_disk(self, share, tmp_path, monkeypatch):
        """Touching it would end the process: the kernel has no other way to tell."""
        counters = await share()
        before = (tmp_path / "rates").stat().st_blocks

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "posix_fallocate", full)
            for ask in (counters.hit, counters.peek):
                with pytest.raises(GatewayFault) as failed:
                    await ask([("a", 3)], 60.0)
                assert (failed.value.status, failed.value.code) == (503, DISK_FULL)
        counters._room.memory.flush()
        assert (tmp_path / "rates").stat().st_blocks == before
        assert [(await hit(counters)).remaining for _ in range(2)] == [2, 1]

    @pytest.mark.parametrize("first", [64, 200, 1000, 4000, 5000])
    async def test_every_page_that_is_written_has_its_room_before(self, share, monkeypatch, first):
        counters = await share()
        asked = set()
        monkeypatch.setattr(
            os, "posix_fallocate", lambda _, begin, size: asked.update(range(begin, begin + size, 4096))
        )
        await hit(counters, first, "first")
        assert set() < written_pages(counters) <= asked
        for number in range(1500):
            await hit(counters, 5000)
            await hit(counters, 10, f"n{number}")
        assert set() < written_pages(counters) <= asked

    async def test_a_file_system_that_gives_no_room_beforehand_is_used_all_the_same(self, share, monkeypatch):
        monkeypatch.delattr(os, "posix_fallocate")
        assert (await hit(await share())).remaining == 2

    async def test_a_changed_limit_takes_its_times_along(self, share, clock):
        counters = await share()
        for _ in range(60):
            await hit(counters, 60)
        assert (await hit(counters, 200)).remaining == 139
        assert not (await hit(counters, 60)).allowed
        assert (await hit(counters, 62)).remaining == 0
        assert (await hit(counters, 5_000_000)).remaining == 5_000_000 - 63

    @pytest.mark.parametrize(("before", "changed"), [(3, 70), (70, 3)])
    async def test_to_die_while_a_changed_limit_moves_its_times_forgets_none(self, share, mortal, before, changed):
        for steps in itertools.count():
            mortal.left = None
            one, two = [await share(name=f"rates{steps}", classes=SMALL) for _ in range(2)]
            for _ in range(3):
                await hit(one, before)
            mortal.left = steps
            with contextlib.suppress(Died):
                await hit(one, changed)
                break
            mortal.left = None
            assert not (await hit(two, 3)).allowed, f"died at step {steps}"
            for more in (1, 2, 3):
                assert (await hit(two, 70)).remaining <= 70 - 3 - more, f"died at step {steps}"
        assert steps > 5

    async def test_to_die_while_a_hit_is_written_forgets_none(self, share, mortal):
        """What becomes of its head is written in one piece, by the long way and by the short one."""
        counters = await share()
        for count in range(1, 10):
            mortal.written.clear()
            await hit(counters, 60)
            [head] = [at for at, value in mortal.written.items() if len(value) == 24]
            assert mortal.written[head][4:8] == bytes([count, 0, 0, 0])
            assert counters._room.memory[head : head + 24] == mortal.written[head]

    async def test_how_full_a_window_is_costs_nothing(self, share, clock, monkeypatch):
        counters, looked = await share(), []
        time = _Ring.time
        for _ in range(1000):
            await hit(counters, 1024)
        monkeypatch.setattr(_Ring, "time", lambda ring, i: looked.append(i) or time(ring, i))
        clock.steady += 1.0
        [window] = await counters.peek([("a", 1024)], 60.0)
        assert (window.allowed, window.remaining) == (True, 24)
        assert len(looked) <= 4
        clock.steady += 60.0  # all of them are over at once
        assert (await counters.peek([("a", 1024)], 60.0))[0].remaining == 1024
        assert (await hit(counters, 1024)).remaining == 1023
        assert len(looked) <= 40

    async def test_a_window_with_room_is_counted_in_a_few_steps(self, share, clock, monkeypatch):
        """Here and by others: no ring is read as a whole."""
        one, two = await share(), await share()
        for counters in (one, two, one, two):
            await counters.hit([("a", 100), ("b", 50)], 60.0, seen=[("c", 9)])
            await counters.hit([("c", 9)], 60.0)
        monkeypatch.setattr("gateway.sqlite.usage.shared_counters._Ring", None)
        clock.steady += 59.0
        assert await one.hit([("a", 100), ("b", 50)], 60.0, seen=[("c", 9)]) == [
            Window(True, 100, 95, 60.0, 0.0), Window(True, 50, 45, 60.0, 0.0), Window(True, 9, 5, 1.0, 0.0)
        ]  # fmt: skip
        clock.steady += 1.0
        assert await two.hit([("a", 100), ("b", 50)], 60.0) == [
            Window(True, 100, 98, 60.0, 0.0), Window(True, 50, 48, 60.0, 0.0)
        ]  # fmt: skip
        assert await two.peek([("a", 100)], 60.0) == [Window(True, 100, 98, 60.0, 0.0)]

    async def test_two_on_one_file_count_together(self, share, clock):
        one = await share()
        two = await share()
        assert [(await hit(each)).remaining for each in (one, two, one)] == [2, 1, 0]
        assert not (await hit(two)).allowed

    async def test_after_a_boot_it_begins_anew(self, share, monkeypatch):
        one = await share()
        await hit(one, 1)
        one.close()
        monkeypatch.setattr("gateway.sqlite.usage.shared_file._boot_id", lambda: b"another")
        two = await share()
        assert (await hit(two, 1)).allowed

    async def test_times_of_the_future_do_not_count(self, share, clock):
        counters = await share()
        await hit(counters, 1)
        clock.steady -= 500
        assert (await hit(counters, 1)).allowed

    async def test_a_held_lock_fails_closed(self, share, monkeypatch):
        one = await share()
        two = await share()
        monkeypatch.setattr("gateway.sqlite.usage.shared_counters.PATIENCE", 0.02)
        assert one._lock.take()
        with pytest.raises(GatewayFault, match="not available"):
            await hit(two)
        one._lock.release()
        assert (await hit(two)).allowed

    @pytest.mark.slow
    def test_exact_over_processes(self, tmp_path):
        script = tmp_path / "hits.py"
        script.write_text(
            "import asyncio, sys, time\n"
            "from pathlib import Path\n"
            "from gateway.sqlite.usage.shared_counters import SharedCounters, _Ring\n"
            "async def main():\n"
            "    counters = SharedCounters(Path(sys.argv[1]), time.monotonic)\n"
            "    print(sum([(await counters.hit([('a', 1000)], 60.0))[0].allowed for _ in range(600)]))\n"
            "asyncio.run(main())\n"
        )
        command = [sys.executable, str(script), str(tmp_path / "rates")]
        children = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
                             env={"PYTHONPATH": str(Path(__file__).parents[3])})
            for _ in range(4)
        ]  # fmt: skip
        assert sum(int(child.communicate(timeout=60)[0]) for child in children) == 1000
