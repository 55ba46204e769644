"""The measures: each takes a target and gives a flat dict of numbers plus `errors` (text -> count).

Units are in the names: `_ms`, `_us`, `_s`, `_mb` (10^6 bytes), `_kb` (10^3 bytes). A number that cannot be had
(the CPU of a process that is not ours) is None.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchkit.load import StreamLoad, control, run_calls
from benchkit.procs import cores_busy_ns, cpu_ns
from benchkit.stats import median, percentile
from benchkit.targets import Live, Target

Result = dict[str, Any]
OPEN_LIMIT = 30.0
END_LIMIT = 20.0


class Probe(NamedTuple):
    """Clocks in nanoseconds: CPU of the target, of load generator and upstream, and busy time of the target's cores."""

    target: int | None
    load: int
    cores: int


@dataclass
class Bench:
    """What every measure needs: how long to measure, and where the upstream is."""

    seconds: float
    warm: float
    upstream_port: int
    upstream_pid: int
    target_cores: set[int]
    memory_streams: int = 1000

    def probe(self, live: Live) -> Callable[[], Probe]:
        """Reads the clocks of a target, of what measures it, and of the target's cores."""
        return lambda: Probe(
            live.cpu_ns(), time.process_time_ns() + cpu_ns(self.upstream_pid), cores_busy_ns(self.target_cores)
        )


def busy(before: Probe, after: Probe, seconds: float) -> Result:
    """Shares of a core in a window: the target's, the load generator's with the upstream's, and what other processes
    took of the target's cores."""
    target = None if before.target is None or after.target is None else after.target - before.target
    others = None if target is None else max(0, after.cores - before.cores - target)
    return {
        "target_busy": ratio(target, seconds * 1e9),
        "load_busy": ratio(after.load - before.load, seconds * 1e9),
        "others_busy": ratio(others, seconds * 1e9),
    }


def ratio(value: float | None, by: float, digits: int = 3) -> float | None:
    return None if value is None or not by else round(value / by, digits)


async def requests(bench: Bench, live: Live, connections: int) -> Result:
    """Rate, latency and CPU of whole answers over `connections` connections."""
    got = await run_calls(live.port, live.call(), connections, bench.warm, bench.seconds, bench.probe(live))
    shares = busy(got.before, got.after, got.seconds)
    target_cpu = None if got.before.target is None else got.after.target - got.before.target
    count = len(got.latencies)
    return {
        "requests": count,
        "per_second": round(count / got.seconds, 1),
        "p50_ms": ratio(percentile(got.latencies, 0.5), 1e6, 4),
        "p99_ms": ratio(percentile(got.latencies, 0.99), 1e6, 4),
        "cpu_us": ratio(target_cpu, count * 1e3),
        "per_cpu_second": ratio(count * 1e9, target_cpu, 1) if target_cpu else None,
        **shares,
        "reconnects": got.reconnects,
        "errors": dict(got.errors),
    }


async def streams(bench: Bench, live: Live, count: int, pace_ms: int) -> Result:
    """CPU and lag per relayed event while `count` streams get an event every `pace_ms` milliseconds."""
    load = StreamLoad(live.port, live.stream(pace_ms))
    before = after = Probe(None, 0, 0)
    window = 0.0
    stats: dict[str, Any] = {}
    try:
        await load.open(count, OPEN_LIMIT)
        if load.opened:
            await asyncio.sleep(bench.warm)
            await control(bench.upstream_port, "stats")
            window, before, after = await load.record(bench.seconds, bench.probe(live))
            stats = await control(bench.upstream_port, "stats")
            await control(bench.upstream_port, "release")
            await load.close(END_LIMIT)
    finally:
        load.abandon()
    target_cpu = None if before.target is None or after.target is None else after.target - before.target
    events = len(load.lags)
    return {
        "streams": load.opened,
        "finished": load.finished,
        "events": events,
        "per_second": ratio(events, window, 1),
        "expected_per_second": round(count * 1000 / pace_ms, 1),
        "cpu_us": ratio(target_cpu, events * 1e3),
        "lag_p50_ms": ratio(percentile(load.lags, 0.5), 1e6, 4),
        "lag_p99_ms": ratio(percentile(load.lags, 0.99), 1e6, 4),
        **busy(before, after, window),
        "upstream_late_ms": ratio(stats.get("late_ms"), 1),
        "upstream_stalled": stats.get("stalled"),
        "errors": dict(load.errors),
    }


def start(target: Target, times: int) -> Result:
    """Seconds from spawning the process to its first answered chat completion, on data that exists already.

    `start_s` is the middle of `times` starts, `fastest_s` the best of them.
    """
    seconds: list[float] = []
    for _ in range(times):
        live = target.launch()
        seconds.append(live.start_seconds or 0.0)
        live.stop()
    return {"start_s": ratio(median(seconds), 1, 4), "fastest_s": round(min(seconds), 4), "errors": {}}


async def _held(bench: Bench, live: Live, count: int, errors: Counter[str]) -> tuple[int, int]:
    """Open `count` slow streams, look at the resident memory, end them: (streams opened, bytes)."""
    load = StreamLoad(live.port, live.stream(1000))
    try:
        await load.open(count, OPEN_LIMIT)
        await asyncio.sleep(1.2)
        seen = load.opened, live.rss() or 0
        await control(bench.upstream_port, "release")
        await load.close(END_LIMIT)
    finally:
        load.abandon()
        errors.update(load.errors)
    return seen


async def memory(bench: Bench, live: Live) -> Result:
    """Resident memory of a fresh process that has answered once, its CPU while idle, and growth per open stream.

    The base of the growth is taken after a first handful of streams, so code loaded on first use is not counted.
    """
    errors: Counter[str] = Counter()
    await asyncio.sleep(0.5)
    cpu = live.cpu_ns() or 0
    await asyncio.sleep(1.0)
    cpu = (live.cpu_ns() or 0) - cpu
    idle = live.rss() or 0
    await _held(bench, live, 10, errors)
    base = live.rss() or 0
    opened, full = await _held(bench, live, bench.memory_streams, errors)
    await asyncio.sleep(0.3)
    return {
        "idle_mb": round(idle / 1e6, 2),
        "idle_cpu_ms_per_s": round(cpu / 1e6, 2),
        "streams": opened,
        "per_stream_kb": ratio(full - base, opened * 1e3, 2),
        "after_mb": round((live.rss() or 0) / 1e6, 2),
        "errors": dict(errors),
    }


def translation(bench: Bench, python: str) -> Result:
    """What translating costs in a process of its own, run by the gateway's `python`; see `benchkit.translation`."""
    cores = ",".join(str(core) for core in sorted(bench.target_cores))
    command = [python, "-m", "benchkit.translation", "--seconds", str(bench.seconds), "--cores", cores]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    # From the root, where no folder is taken for a package.
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"errors": {reason: 1}}
    found: Result = json.loads(done.stdout)
    return {**found, "errors": {}}
