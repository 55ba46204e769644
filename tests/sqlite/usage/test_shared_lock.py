"""The lock of a mapped file, of both kinds, between processes that die with it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.errors import GatewayFault
from gateway.sqlite.usage import shared_lock
from gateway.sqlite.usage.shared_counters import SharedCounters
from gateway.sqlite.usage.shared_file import open_shared
from gateway.sqlite.usage.shared_lock import FileLock, MutexLock, lock_kind

ROOT = Path(__file__).parents[3]
ENDS = [3 * 4096, 5 * 4096]


@pytest.fixture(params=["mutex", "file"], autouse=True)
def kind(request, monkeypatch):
    """Without robust mutexes (as on a Mac) all must be the same."""
    if request.param == "file":
        monkeypatch.setattr(shared_lock, "_library", lambda: None)
    elif lock_kind() == b"file":
        pytest.skip("this system has no robust mutexes")
    return request.param


@pytest.fixture
def share(tmp_path):
    """Opens one file, as often as wanted; gives its lock."""
    opened = []

    def open_one(path=tmp_path / "file"):
        file, lock = open_shared(path, ENDS)
        opened.append((file, lock))
        return lock

    yield open_one
    for file, lock in opened:
        lock.close()
        os.close(file)


def test_one_at_a_time(share, kind):
    one, two = share(), share()
    assert isinstance(one, MutexLock if kind == "mutex" else FileLock)
    assert one.take()
    assert not two.take()
    one.release()
    assert two.take()
    assert not one.take()
    two.release()


def test_whoever_joins_leaves_the_lock_as_it_is(share):
    one = share()
    assert one.take()
    assert not share().take()


def test_a_lock_that_was_left_behind_is_free_for_the_next(tmp_path):
    file, lock = open_shared(tmp_path / "file", ENDS)
    assert lock.take()
    lock.close()
    os.close(file)
    file, lock = open_shared(tmp_path / "file", ENDS)
    assert lock.take()
    lock.release()
    lock.close()
    os.close(file)


def test_a_lock_that_was_closed_touches_nothing(tmp_path):
    file, lock = open_shared(tmp_path / "file", ENDS)
    for _ in range(2):
        lock.close()
    os.close(file)
    for ask in (lock.take, lock.release):
        with pytest.raises((ValueError, OSError)):
            ask()


def test_what_others_use_in_another_way_is_let_be(tmp_path, monkeypatch):
    path = tmp_path / "file"
    file, lock = open_shared(path, ENDS)
    with monkeypatch.context() as patched:
        patched.setattr("gateway.sqlite.usage.shared_file._MAGIC", b"of another kind\0")
        before = path.read_bytes()
        with pytest.raises(GatewayFault, match="another version or system"):
            open_shared(path, ENDS)
        assert path.read_bytes() == before
        lock.close()
        os.close(file)
        file, lock = open_shared(path, ENDS)  # nobody uses it any more: it is begun anew
        assert lock.take()
        lock.release()
    lock.close()
    os.close(file)


def test_the_next_one_has_what_a_killed_process_held(share, tmp_path, kind):
    lock = share()
    script = (
        "import sys; from pathlib import Path\n"
        "from gateway.sqlite.usage import shared_lock\n"
        "from gateway.sqlite.usage.shared_file import open_shared\n"
        f"if {kind == 'file'}: shared_lock._library = lambda: None\n"
        f"_, lock = open_shared(Path(sys.argv[1]), {ENDS})\n"
        "assert lock.take()\n"
        "print('has it', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "file")]
    for _ in range(3):  # a mutex must be right again after each of them
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "has it\n"
            assert not lock.take()
            child.kill()
            child.wait(timeout=30)
        assert lock.take()
        lock.release()


_COUNTS = """
import asyncio, os, sys, time
from pathlib import Path
from gateway.sqlite.usage import shared_lock
from gateway.sqlite.usage.shared_counters import SharedCounters
if sys.argv[3] == "file": shared_lock._library = lambda: None
async def main():
    counters = SharedCounters(Path(sys.argv[1]), time.monotonic)
    told = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        window, = await counters.hit([("a", 60_000)], 600.0)
        if not window.allowed: return
        os.write(told, b".")
asyncio.run(main())
"""


@pytest.mark.slow
def test_exact_while_processes_are_killed(tmp_path, kind):
    """Those that live on use the whole limit, and never more; of each that was killed one hit may be told nowhere."""
    rates, limit = tmp_path / "rates", 60_000
    names = ["dead0", "dead1", "dead2", "living0", "living1"]

    def told(name):
        return (tmp_path / name).stat().st_size

    with ExitStack() as opened:
        children = {}
        for name in names:
            command = [sys.executable, "-c", _COUNTS, str(rates), str(tmp_path / name), kind]
            children[name] = opened.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
                )
            )
        for child in children.values():
            assert child.stdout.readline() == b"ready\n"
        for child in children.values():
            child.stdin.write(b"go\n")
            child.stdin.flush()
        for name in names[:3]:
            while told(name) < 20 and children[name].poll() is None:
                time.sleep(0.001)
            children[name].kill()
        assert [children[name].wait(timeout=60) for name in names[3:]] == [0, 0]
    counted = sum(told(name) for name in names)
    assert limit - 3 <= counted <= limit


def test_a_system_without_robust_mutexes_has_a_lock_all_the_same(tmp_path, kind, monkeypatch):
    if kind == "file":
        return
    shared_lock._library.cache_clear()
    monkeypatch.setattr(shared_lock, "_ROBUST", 12345)  # refused, as by a kernel without them
    try:
        file, lock = open_shared(tmp_path / "file", ENDS)
    finally:
        shared_lock._library.cache_clear()
    assert isinstance(lock, FileLock)
    lock.close()
    os.close(file)


async def test_windows_count_the_same(tmp_path, clock):
    one, two = [await asyncio.to_thread(SharedCounters, tmp_path / "rates", clock.monotonic) for _ in range(2)]
    told = [(await counters.hit([("a", 5)], 60.0))[0] for counters in (one, two, one, two, one, two)]
    assert [(window.allowed, window.remaining) for window in told] == [
        (True, 4), (True, 3), (True, 2), (True, 1), (True, 0), (False, 0)
    ]  # fmt: skip
    one.close()
    two.close()
