"""Processes of a run: pinned, measured through the kernel's own counters, and always ended by their id."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        for listing in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                queue.extend(int(child) for child in listing.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of the process `pid`, all its threads, ended ones too, in nanoseconds; 0 when it is gone.

    The kernel's per-process CPU clock (its id is built as `clock_getcpuclockid(3)` does) counts nanoseconds;
    `/proc/PID/stat` counts ticks of 10 ms and is the way out where that clock is not readable.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return (int(fields[11]) + int(fields[12])) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def tree_cpu_ns(pid: int) -> int:
    """CPU time of `pid` and its living descendants, in nanoseconds."""
    return sum(cpu_ns(one) for one in tree(pid))


def tree_rss(pid: int) -> int:
    """Resident bytes of `pid` and its living descendants (pages shared between them count in each)."""
    total = 0
    for one in tree(pid):
        try:
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def cores_busy_ns(cores: set[int]) -> int:
    """Time that `cores` did not idle, in nanoseconds, of all processes, interrupts and time taken by a hypervisor."""
    busy = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _wait, irq, softirq, steal = (int(tick) for tick in ticks[:8])
            busy += user + nice + system + irq + softirq + steal
    return busy * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def environment() -> dict[str, str]:
    """Our environment without the Python switches that change how fast a Python target starts and logs."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG")
    return {name: value for name, value in os.environ.items() if name not in dropped}


class Child:
    """A child process on given cores, its output in a file."""

    def __init__(self, command: Sequence[str], cores: set[int], log: Path, env: dict[str, str] | None = None) -> None:
        def in_child() -> None:
            # Affinity before exec, so that every later thread and child inherits it; and no orphans if we are killed.
            os.sched_setaffinity(0, cores)
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment(), **(env or {})},
                start_new_session=True,
                preexec_fn=in_child,
            )
        self.pid = self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def output(self, size: int = 1500) -> str:
        """The end of what it wrote."""
        return self.log.read_bytes()[-size:].decode("utf-8", "replace")

    def stop(self, patience: float = 3.0) -> None:
        """SIGTERM, then SIGKILL after `patience` seconds, to the process; its surviving children are killed too."""
        if not self.alive():
            return
        family = tree(self.pid)[1:]
        self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        for pid in family:
            # Only a process that was our child's child a moment ago, and still is in the session we made for it.
            try:
                if os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def cores_for(spec: str | None) -> tuple[set[int], set[int], set[int]]:
    """(target's cores, load generator's, upstream's) from `TARGET,LOAD[,UPSTREAM]`, or chosen from those we may use.

    Two cores: the target alone on the second, load generator and upstream on the first. Three or more: one each.
    Raises ValueError when `spec` is not core numbers.
    """
    if spec:
        numbers = [int(part) for part in spec.split(",")]
        if len(numbers) not in (2, 3):
            raise ValueError("--cores takes TARGET,LOAD or TARGET,LOAD,UPSTREAM")
        return {numbers[0]}, {numbers[1]}, {numbers[-1]}
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) >= 3:
        return {usable[1]}, {usable[0]}, {usable[2]}
    return {usable[-1]}, {usable[0]}, {usable[0]}
