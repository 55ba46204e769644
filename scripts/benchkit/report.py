"""Joins repeats, adds ratios and verdicts, prints tables, and compares two runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchkit.stats import median, spread

Result = dict[str, Any]
Results = dict[str, dict[str, Result]]
UNBILLED = "gateway-unbilled"
TRANSLATED = {
    "anthropic": "Anthropic's stream",
    "google": "Google's stream",
    "mistral": "Mistral's stream",
    "moonshot": "Moonshot's stream",
    "responses": "Responses bridge",
}
CONVERSED = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "google": "Google",
    "mistral": "Mistral",
    "moonshot": "Moonshot",
}


class Row(NamedTuple):
    """A line of the table: which number of which measure, and which way is better."""

    measure: str
    key: str
    label: str
    higher_is_better: bool = False


ROWS = (
    Row("requests_1", "cpu_us", "CPU us per request, 1 connection"),
    Row("requests_1", "per_second", "requests/s, 1 connection", True),
    Row("requests_1", "p50_ms", "  latency p50, ms"),
    Row("requests_1", "p99_ms", "  latency p99, ms"),
    Row("requests_1", "added_p50_ms", "  added latency p50, ms"),
    Row("requests_32", "cpu_us", "CPU us per request, 32 connections"),
    Row("requests_32", "per_cpu_second", "  requests per CPU second", True),
    Row("requests_32", "per_second", "requests/s, 32 connections", True),
    Row("requests_32", "p50_ms", "  latency p50, ms"),
    Row("requests_32", "p99_ms", "  latency p99, ms"),
    Row("streams_200", "cpu_us", "CPU us per event, 200 streams"),
    Row("streams_200", "per_second", "events/s, 200 streams", True),
    Row("streams_200", "lag_p50_ms", "  lag p50, ms"),
    Row("streams_200", "lag_p99_ms", "  lag p99, ms"),
    Row("streams_200", "added_lag_p50_ms", "  added lag p50, ms"),
    Row("streams_200", "added_lag_p99_ms", "  added lag p99, ms"),
    Row("streams_1000", "cpu_us", "CPU us per event, 1000 streams"),
    Row("streams_1000", "per_second", "events/s, 1000 streams", True),
    Row("streams_1000", "lag_p50_ms", "  lag p50, ms"),
    Row("streams_1000", "lag_p99_ms", "  lag p99, ms"),
    Row("streams_1000", "added_lag_p50_ms", "  added lag p50, ms"),
    Row("streams_1000", "added_lag_p99_ms", "  added lag p99, ms"),
    Row("start", "start_s", "start to first answer, s"),
    Row("memory", "idle_mb", "idle memory, MB"),
    Row("memory", "idle_cpu_ms_per_s", "idle CPU, ms per s"),
    Row("memory", "per_stream_kb", "memory per open stream, KB"),
    Row("translation", "relay_us", "relay of a chat event, us"),
    *(
        row
        for name, what in TRANSLATED.items()
        for row in (
            Row("translation", f"{name}_us", f"  {what}, us per event"),
            Row("translation", f"{name}_x", f"  {what} / relay"),
        )
    ),
    *(Row("translation", f"{name}_ms", f"200 KB conversation to {what}, ms") for name, what in CONVERSED.items()),
)

ADDED = {"p50_ms": "added_p50_ms", "p99_ms": "added_p99_ms"}
ADDED_LAG = {"lag_p50_ms": "added_lag_p50_ms", "lag_p99_ms": "added_lag_p99_ms"}


class Floor(NamedTuple):
    """A number to hold: by `by_nginx` as a ratio to nginx in the same run, else as it is."""

    measure: str
    key: str
    label: str
    floor: float | None
    goal: float
    at_least: bool = False
    by_nginx: bool = False


FLOORS = (
    Floor("requests_32", "cpu_us", "CPU per request / nginx, durable billing", 20, 17, by_nginx=True),
    Floor("requests_32", "per_second", "requests/s per core, durable billing", 2000, 4600, at_least=True),
    Floor("streams_200", "cpu_us", "CPU per event / nginx, 200 streams", 3.0, 2.0, by_nginx=True),
    Floor("streams_1000", "cpu_us", "CPU per event / nginx, 1000 streams", 3.0, 2.0, by_nginx=True),
    Floor("requests_1", "added_p50_ms", "added latency p50, ms", 1.2, 0.7),
    Floor("streams_200", "added_lag_p50_ms", "added lag p50 at 200 streams, ms", 1.2, 0.5),
    Floor("start", "start_s", "start to first answer, s", 1.0, 0.5),
    Floor("memory", "idle_mb", "idle memory, MB", 80, 55),
    Floor("memory", "per_stream_kb", "memory per open stream, KB", 30, 25),
    *(Floor("translation", f"{name}_x", f"{what} / relay, per event", 2.0, 1.5) for name, what in TRANSLATED.items()),
    *(Floor("translation", f"{name}_ms", f"200 KB to {what}, ms", 3.0, 3.0) for name, what in CONVERSED.items()),
)


def join(runs: Sequence[Result]) -> Result:
    """Repeats of one measure as one: the median of every number, errors added up, `spread` of what varies."""
    if len(runs) == 1:
        return runs[0]
    joined: Result = {}
    spreads: dict[str, float] = {}
    for key in runs[0]:
        if key == "errors":
            continue
        values = [run[key] for run in runs if isinstance(run.get(key), (int, float))]
        middle = median(values)
        joined[key] = None if middle is None else round(middle, 4)
        apart = spread(values)
        if apart:
            spreads[key] = round(apart, 3)
    errors: Counter[str] = Counter()
    for run in runs:
        errors.update(run["errors"])
    return {**joined, "spread": spreads, "runs": list(runs), "errors": dict(errors)}


def add_differences(results: Results) -> None:
    """Write the latency and the lag that a target adds to those of direct access into its results."""
    for measured in results.values():
        direct = measured.get("direct")
        for name, result in measured.items():
            if name == "direct" or direct is None:
                continue
            for key, added in {**ADDED, **ADDED_LAG}.items():
                value, base = result.get(key), direct.get(key)
                if value is not None and base is not None:
                    result[added] = round(value - base, 4)


def number(results: Results, measure: str, target: str, key: str) -> float | None:
    """One number of the results, or None."""
    value = results.get(measure, {}).get(target, {}).get(key)
    return float(value) if isinstance(value, (int, float)) else None


def divided(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by


def compared(results: Results, measure: str, target: str, base: str, key: str) -> float | None:
    """`target` / `base` of one number; with repeats the median of the ratios of each round, whose two measures are
    neighbours in time, so that a machine that changes its pace in between matters less."""
    measured = results.get(measure, {})
    rounds = [measured.get(name, {}).get("runs", []) for name in (target, base)]
    pairs = [divided(a.get(key), b.get(key)) for a, b in zip(*rounds, strict=False)]
    found = median([pair for pair in pairs if pair is not None])
    if found is not None:
        return found
    return divided(number(results, measure, target, key), number(results, measure, base, key))


def ratios(results: Results, targets: Sequence[str]) -> dict[str, dict[str, float]]:
    """`measure.key` -> `a:b` -> a / b, for every target against direct access and against nginx."""
    table: dict[str, dict[str, float]] = {}
    for row in ROWS:
        line = {}
        for name in targets:
            for base in ("direct", "nginx"):
                found = compared(results, row.measure, name, base, row.key)
                if found is not None and name not in ("direct", base) and not row.key.startswith("added"):
                    line[f"{name}:{base}"] = round(found, 4)
        if line:
            table[f"{row.measure}.{row.key}"] = line
    return table


def floors(results: Results, target: str) -> list[dict[str, Any]]:
    """Every number to hold with its verdict for `target`: PASS, FAIL, or `not measured`."""
    lines = []
    for floor in FLOORS:
        if floor.by_nginx:
            value = compared(results, floor.measure, target, "nginx", floor.key)
        else:
            value = number(results, floor.measure, target, floor.key)
        lines.append(
            {
                "name": floor.label,
                "value": None if value is None else round(value, 3),
                "floor": floor.floor,
                "goal": floor.goal,
                "verdict": _verdict(value, floor.floor, floor.at_least),
                "goal_verdict": _verdict(value, floor.goal, floor.at_least),
            }
        )
    return lines


def _verdict(value: float | None, limit: float | None, at_least: bool) -> str:
    if limit is None:
        return "-"
    if value is None:
        return "not measured"
    return "PASS" if (value >= limit if at_least else value <= limit) else "FAIL"


def shown(value: float | None) -> str:
    """A number with about three figures; `-` for none."""
    if value is None:
        return "-"
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}"


def layout(lines: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left and the others to the right; the first line is the head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for place, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        text.append("  ".join(cells).rstrip())
        if not place:
            text.append("-" * len(text[0]))
    return "\n".join(text)


def table(results: Results, targets: Sequence[str], skipped: dict[str, str]) -> str:
    """The measured numbers, a column per target, then what the targets cost as ratios."""
    plain = [name for name in targets if name != UNBILLED]
    bases = [base for base in ("direct", "nginx") if base in plain]
    pairs = [(name, base) for name in plain if name not in bases for base in bases]
    if not pairs and len(bases) == 2:
        pairs = [("nginx", "direct")]
    lines = [["", *plain, *skipped, *(f"{a}:{b}" for a, b in pairs)]]
    for row in ROWS:
        if row.measure not in results:
            continue
        values = {name: number(results, row.measure, name, row.key) for name in plain}
        if all(value is None for value in values.values()):
            continue
        added = row.key.startswith("added")
        costs = [None if added else compared(results, row.measure, a, b, row.key) for a, b in pairs]
        cells = [shown(value) for value in values.values()]
        missing = ["not installed" if reason == "not installed" else "not measured" for reason in skipped.values()]
        lines.append([row.label, *cells, *missing, *(shown(cost) for cost in costs)])
    return layout(lines) if len(lines) > 1 else "Nothing was measured."


def billing_line(results: Results) -> str | None:
    """What durable billing costs, when both rows were measured."""
    with_it = number(results, "requests_32", "gateway", "per_second")
    without = number(results, "requests_32", UNBILLED, "per_second")
    if with_it is None or without is None:
        return None
    share = shown(divided(with_it, without))
    return f"requests/s, 32 connections: {shown(with_it)} with durable billing, {shown(without)} without: {share}"


def warnings(results: Results) -> list[str]:
    """What makes a number doubtful: a saturated load generator, missing events, a late upstream, repeats apart."""
    found = []
    for measure, measured in results.items():
        for name, result in measured.items():
            where = f"{measure}, {name}"
            load, target = result.get("load_busy"), result.get("target_busy")
            if load is not None and load > 0.95 and name != "direct" and (target or 0) < 0.9:
                found.append(f"{where}: the load generator's core was {load:.0%} busy: the target could do more")
            if (result.get("others_busy") or 0) > 0.1:
                found.append(f"{where}: other processes took {result['others_busy']:.0%} of the target's core")
            events, expected = result.get("per_second"), result.get("expected_per_second")
            if expected and events is not None and events < 0.97 * expected:
                found.append(f"{where}: {shown(events)} of {shown(expected)} events/s arrived: it is saturated")
            if (result.get("upstream_late_ms") or 0) > 25:
                found.append(f"{where}: the upstream's timer was {result['upstream_late_ms']:.0f} ms late once")
            for key in ("per_second", "cpu_us"):
                if result.get("spread", {}).get(key, 0) > 0.15:
                    found.append(f"{where}: repeats of {key} lie {result['spread'][key]:.0%} apart")
    return found


def floor_table(lines: Sequence[dict[str, Any]]) -> str:
    """The numbers to hold, as a table."""
    head = ["number to hold", "measured", "first floor", "", "goal", ""]
    rows = [
        [
            line["name"],
            shown(line["value"]),
            shown(line["floor"]),
            line["verdict"],
            shown(line["goal"]),
            line["goal_verdict"],
        ]
        for line in lines
    ]
    return layout([head, *rows])


def comparison(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Two runs side by side: each number of each target in both, and new / old, plain and per nginx of the same run.

    The second ratio takes out what the machine itself did differently between the two runs.
    """
    before, after = old["results"], new["results"]

    def change_of(row: Row, name: str) -> float | None:
        return divided(number(after, row.measure, name, row.key), number(before, row.measure, name, row.key))

    lines = [["", "target", "old", "new", "new/old", "per nginx", ""]]
    for row in ROWS:
        for name in after.get(row.measure, {}):
            a = number(before, row.measure, name, row.key)
            b = number(after, row.measure, name, row.key)
            change = change_of(row, name)
            if a is None or b is None or change is None:
                continue
            comparable = name != "nginx" and not row.key.startswith("added")
            fair = divided(change, change_of(row, "nginx")) if comparable else None
            judged = fair if fair is not None else change
            better = judged > 1 if row.higher_is_better else judged < 1
            word = "" if abs(judged - 1) < 0.05 or a <= 0 or b <= 0 else "better" if better else "worse"
            lines.append([row.label.strip(), name, shown(a), shown(b), shown(change), shown(fair), word])
    return layout(lines)
