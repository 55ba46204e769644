"""`scripts/bench`: reads the options, runs the measures in order, prints the report."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchkit import history, measures, report, wire
from benchkit.postgres import PostgresGateway
from benchkit.procs import Child, cores_for
from benchkit.targets import (
    WITHOUT_BILLING,
    CannotMeasure,
    Direct,
    Gateway,
    Live,
    Nginx,
    Place,
    Proxy,
    Running,
    Target,
)

ROOT = Path(__file__).resolve().parents[2]
MEASURES = ("requests_1", "requests_32", "streams_200", "streams_1000", "start", "memory", "translation")
PACES = {"streams_200": (200, 50), "streams_1000": (1000, 100)}
JSON_FORMAT = 1


def options(words: Sequence[str]) -> argparse.Namespace:
    """The parsed command line; argparse ends the process with status 2 on a mistake."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure the gateway beside nginx and direct access, on pinned cores, on 127.0.0.1 only.",
        epilog="Measures: " + ", ".join(MEASURES) + ". docs/benchmark.md says what each number means.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="short windows: about a minute in all")
    add("--only", action="append", default=[], metavar="NAME", help="a measure, or how its name begins; repeatable")
    add("--targets", metavar="A,B", help="only these of: direct, nginx, gateway, and names given with --proxy or --url")
    add("--duration", type=float, metavar="S", help="seconds each window is measured (5; 2 with --quick)")
    add(
        "--repeat",
        type=int,
        metavar="N",
        help="measure all targets N times in turn, report medians (3; 1 with --quick)",
    )
    add("--json", type=Path, metavar="FILE", help="write everything as JSON")
    add("--compare", type=Path, metavar="OLD.json", help="print this run beside an earlier one")
    add("--history", type=Path, metavar="FILE", help="print this run beside those in FILE, tell what got worse, add it")
    add(
        "--gateway-command",
        default=f"{ROOT}/.venv/bin/gateway serve",
        metavar="CMD",
        help="how to serve (default .venv/bin/gateway serve); --config FILE is added",
    )
    add("--no-billing", action="store_true", help="also measure the gateway without quota and usage_log")
    add(
        "--store",
        metavar="postgres|URL",
        help="also measure the gateway on PostgreSQL: a server of the wheel pgserver, or an empty database's URL",
    )
    add("--proxy", action="append", default=[], metavar="NAME=CMD", help="another proxy, on {port} before {upstream}")
    add("--url", metavar="URL", help="a running server on this machine, that reaches the upstream on --upstream-port")
    add("--key", help="API key for --url and --proxy")
    add("--model", default=wire.MODEL, help="model name for --url and --proxy (%(default)s)")
    add("--pid", type=int, help="process of --url, to read its CPU and memory")
    add("--upstream-port", type=int, default=0, metavar="PORT", help="fixed port for the upstream (any)")
    add("--cores", metavar="T,L[,U]", help="cores for target, load generator and upstream")
    add("--keep", action="store_true", help="keep the temporary folder with logs and configurations")
    parsed = parser.parse_args(words)
    if parsed.only and not wanted(parsed.only):
        parser.error(f"--only {parsed.only[0]}: no such measure; there are {', '.join(MEASURES)}")
    if parsed.url and urlsplit(parsed.url).hostname not in ("127.0.0.1", "localhost"):
        parser.error("--url must be on 127.0.0.1: the clock of the upstream and of the load generator is the same one")
    if parsed.duration is not None and not 0.2 <= parsed.duration <= 60:
        parser.error("--duration takes 0.2 to 60 seconds")
    if parsed.repeat is None:
        parsed.repeat = 1 if parsed.quick else 3
    if not 1 <= parsed.repeat <= 20:
        parser.error("--repeat takes 1 to 20")
    if parsed.store and parsed.store != "postgres" and "://" not in parsed.store:
        parser.error("--store takes postgres, or the URL of an empty database")
    if any("=" not in spec for spec in parsed.proxy):
        parser.error("--proxy takes NAME=COMMAND")
    return parsed


def wanted(only: Sequence[str]) -> list[str]:
    """The measures whose names begin with one of `only`; all when it is empty."""
    return [name for name in MEASURES if not only or any(name.startswith(word) for word in only)]


@dataclass
class Run:
    """One run: processes that live, results so far, and what could not be measured."""

    args: argparse.Namespace
    place: Place
    bench: measures.Bench
    runner: asyncio.Runner
    targets: list[Target] = field(default_factory=list)
    lives: dict[str, Live] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    results: report.Results = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Progress, on standard error."""
        print(f"  {text}", file=sys.stderr, flush=True)

    def prepare(self) -> None:
        """Set every target up; one that cannot be measured is left out with its reason."""
        for target in self.make_targets():
            try:
                target.prepare()
            except CannotMeasure as fault:
                self.skipped[target.name] = str(fault)
                self.note(f"{target.name}: {fault}")
            else:
                self.targets.append(target)

    def make_targets(self) -> list[Target]:
        """All targets that were asked for, in the order of the columns."""
        args, place = self.args, self.place
        made: list[Target] = [Direct(place), Nginx(place)]
        if args.url:
            made.append(Running(place, "running", urlsplit(args.url).port or 80, args.key, args.model, args.pid))
        else:
            made.append(Gateway(place, args.gateway_command))
        if args.no_billing and not args.url:
            made.append(Gateway(place, args.gateway_command, report.UNBILLED, WITHOUT_BILLING))
        if args.store and not args.url:
            made.append(PostgresGateway(place, args.gateway_command, args.store))
        for spec in args.proxy:
            name, _, command = spec.partition("=")
            made.append(Proxy(place, name, command, args.key, args.model))
        if args.targets:
            names = args.targets.split(",")
            made = [target for target in made if target.name in names or target.name == report.UNBILLED]
        return made

    def live(self, target: Target) -> Live:
        """The long-lived process of `target`, started on first use."""
        if target.name not in self.lives:
            self.lives[target.name] = target.launch()
        return self.lives[target.name]

    def measure(self, name: str, target: Target) -> measures.Result:
        """Take one measure of one target once."""
        if name in ("start", "memory") and target.name in self.lives:
            # Both want a fresh process, and the port is the same one.
            self.lives.pop(target.name).stop()
        if name == "start":
            return measures.start(target, 3)
        if name == "translation":
            return measures.translation(self.bench, gateway_python(self.args.gateway_command))
        if name == "memory":
            live = target.launch()
            try:
                return self.runner.run(measures.memory(self.bench, live))
            finally:
                live.stop()
        live = self.live(target)
        if name in PACES:
            return self.runner.run(measures.streams(self.bench, live, *PACES[name]))
        return self.runner.run(measures.requests(self.bench, live, int(name.rpartition("_")[2])))

    def applies(self, name: str, target: Target) -> bool:
        """Whether `target` has that measure: without a process of ours there is no start and no memory."""
        if target.name == report.UNBILLED:
            return name == "requests_32"
        if name == "translation":
            return isinstance(target, Gateway)
        return target.has_process or name not in ("start", "memory")

    def measure_all(self) -> None:
        """Every measure, the targets in turn, as often as asked."""
        for name in wanted(self.args.only):
            runs: dict[str, list[measures.Result]] = {}
            for turn in range(self.args.repeat):
                for target in self.targets:
                    if not self.applies(name, target):
                        continue
                    self.note(f"{name} {target.name}" + (f" ({turn + 1})" if self.args.repeat > 1 else ""))
                    try:
                        result = self.measure(name, target)
                    except (CannotMeasure, OSError) as fault:
                        result = {"errors": {f"{type(fault).__name__}: {fault}": 1}}
                    runs.setdefault(target.name, []).append(result)
            self.results[name] = {who: report.join(taken) for who, taken in runs.items()}
        report.add_differences(self.results)

    def stop(self) -> None:
        """End every process of a target."""
        for live in self.lives.values():
            live.stop()
        for target in self.targets:
            target.close()

    def errors(self) -> list[str]:
        """Every error met, as `measure, target: count x text`."""
        return [
            f"{name}, {who}: {count} x {text}"
            for name, measured in self.results.items()
            for who, result in measured.items()
            for text, count in result["errors"].items()
        ]


def gateway_python(command: str) -> str:
    """The Python beside the command that serves the gateway, which has its packages; else the one that runs us."""
    words = shlex.split(command)
    beside = Path(words[0]).absolute().with_name("python") if words else Path()
    return str(beside) if beside.is_file() else sys.executable


def start_upstream(place: Place, port: int) -> Child:
    """Start the paced upstream and learn its port from its first line."""
    log = place.folder / "upstream.log"
    command = [sys.executable, "-m", "benchkit.upstream", "--port", str(port)]
    package_folder = str(Path(__file__).resolve().parents[1])
    child = Child(command, place.upstream_cores, log, {"PYTHONPATH": package_folder})
    until = time.monotonic() + 10
    while time.monotonic() < until and child.alive():
        words = log.read_text().split()
        if len(words) >= 2 and words[0] == "ready":
            place.upstream_port = int(words[1])
            return child
        time.sleep(0.01)
    child.stop()
    raise CannotMeasure(f"the upstream did not start: {child.output()}")


def machine(place: Place) -> dict[str, Any]:
    """What the run was measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "target_cores": sorted(place.target_cores),
        "load_cores": sorted(place.load_cores),
        "upstream_cores": sorted(place.upstream_cores),
    }


def summary(run: Run) -> dict[str, Any]:
    """The whole run as one JSON value."""
    names = [target.name for target in run.targets]
    focus = "gateway" if "gateway" in names else next((n for n in names if n not in ("direct", "nginx")), None)
    return {
        "format": JSON_FORMAT,
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(run.place),
        "settings": {
            "seconds": run.bench.seconds,
            "warm": run.bench.warm,
            "repeat": run.args.repeat,
            "memory_streams": run.bench.memory_streams,
            "paces": {name: {"streams": count, "pace_ms": pace} for name, (count, pace) in PACES.items()},
        },
        "targets": names,
        "skipped": run.skipped,
        "results": run.results,
        "ratios": report.ratios(run.results, names),
        "floors_of": focus,
        "floors": report.floors(run.results, focus) if focus else [],
        "warnings": report.warnings(run.results),
        "errors": run.errors(),
    }


def show(whole: dict[str, Any], old: dict[str, Any] | None, past: Sequence[history.Past]) -> None:
    """Print the report on standard output. past: earlier runs on such a machine."""
    print(f"{whole['machine']['cpu']}, target on core {whole['machine']['target_cores']}, {whole['taken']}\n")
    print(report.table(whole["results"], whole["targets"], whole["skipped"]))
    billing = report.billing_line(whole["results"])
    if billing:
        print("\n" + billing)
    if whole["floors"]:
        print(f"\nNumbers to hold, {whole['floors_of']}\n{report.floor_table(whole['floors'])}")
    if old is not None:
        print(f"\nBeside the run of {old.get('taken')}\n{report.comparison(old, whole)}")
    if past:
        usual = history.usual(past)
        print(f"\nBeside the medians of the last {len(past)} runs\n{report.comparison(usual, whole)}")
    worse = history.regressions(past, whole)
    for head, lines in (("Regressions", worse), ("Doubtful", whole["warnings"]), ("Errors", whole["errors"])):
        if lines:
            print(f"\n{head}\n" + "\n".join(f"  {line}" for line in lines))
    for name, reason in whole["skipped"].items():
        print(f"\n{name} was not measured: {reason}")


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main(words: Sequence[str] | None = None) -> int:
    """Run; exit status 0, 1 when errors happened, 2 for a wrong command line, 130 when interrupted."""
    if not sys.platform.startswith("linux"):
        print("scripts/bench reads /proc and pins cores: it runs on Linux only", file=sys.stderr)
        return 2
    args = options(sys.argv[1:] if words is None else words)
    try:
        old = json.loads(args.compare.read_text()) if args.compare else None
        known = history.read(args.history) if args.history else []
        target_cores, load_cores, upstream_cores = cores_for(args.cores)
    except (OSError, ValueError) as fault:
        print(f"scripts/bench: {fault}", file=sys.stderr)
        return 2
    # Both raise KeyboardInterrupt, also where a shell started us with SIGINT ignored: every `finally` below runs.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    place = Place(folder, target_cores, load_cores, upstream_cores)
    before = os.sched_getaffinity(0)
    try:
        whole = measured(args, place)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except CannotMeasure as fault:
        print(f"scripts/bench: {fault}", file=sys.stderr)
        return 1
    finally:
        os.sched_setaffinity(0, before)
        if args.keep:
            print(f"kept {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if args.json:
        args.json.write_text(json.dumps(whole, indent=1) + "\n")
    show(whole, old, history.alike(known, whole))
    if args.history:
        history.add(args.history, whole)
    failed = [name for name, reason in whole["skipped"].items() if reason != "not installed"]
    return 1 if whole["errors"] or failed else 0


def measured(args: argparse.Namespace, place: Place) -> dict[str, Any]:
    """Start the upstream, measure, end every process whatever happens."""
    upstream = start_upstream(place, args.upstream_port)
    try:
        os.sched_setaffinity(0, place.load_cores)
        seconds = args.duration or (2.0 if args.quick else 5.0)
        warm = 0.5 if args.quick else 1.0
        bench = measures.Bench(
            seconds, warm, place.upstream_port, upstream.pid, place.target_cores, 500 if args.quick else 1000
        )
        with asyncio.Runner(loop_factory=new_loop) as runner:
            run = Run(args, place, bench, runner)
            try:
                run.prepare()
                run.measure_all()
            finally:
                run.stop()
            return summary(run)
    finally:
        upstream.stop()
