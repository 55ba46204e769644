"""Earlier runs in a file, one JSON value a line, so that a regression is seen by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchkit.report import ROWS, divided, number
from benchkit.stats import median

Past = dict[str, Any]
LAST = 5
"""Earlier runs that count as usual."""
WORSE = 0.15
"""How much worse than usual a number of CPU must be to be told; shared machines differ by a tenth from run to run."""


def read(path: Path) -> list[Past]:
    """All runs of a file, oldest first; none when there is no file. Raises ValueError for what is no history."""
    if not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    if not all(isinstance(one, dict) and "results" in one for one in found):
        raise ValueError(f"{path} is no history of scripts/bench")
    return found


def add(path: Path, whole: dict[str, Any]) -> None:
    """Append a run: its numbers, without the single repeats."""
    results = {
        measure: {
            target: {key: value for key, value in result.items() if isinstance(value, int | float)}
            for target, result in measured.items()
        }
        for measure, measured in whole["results"].items()
    }
    kept = {"taken": whole["taken"], "machine": whole["machine"], "settings": whole["settings"], "results": results}
    with path.open("a") as file:
        file.write(json.dumps(kept, separators=(",", ":")) + "\n")


def alike(known: Sequence[Past], whole: dict[str, Any]) -> list[Past]:
    """The last runs that can be compared: on the same kind of machine and Python."""
    same = ("cpu", "cores", "python")
    fit = [one for one in known if all(one["machine"].get(key) == whole["machine"].get(key) for key in same)]
    return fit[-LAST:]


def usual(past: Sequence[Past]) -> dict[str, Any]:
    """The medians of several runs, in the form of one."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    for row in ROWS:
        targets = {target for one in past for target in one["results"].get(row.measure, {})}
        for target in targets:
            values = [number(one["results"], row.measure, target, row.key) for one in past]
            middle = median([value for value in values if value is not None])
            if middle is not None:
                results.setdefault(row.measure, {}).setdefault(target, {})[row.key] = middle
    return {"taken": "usual", "results": results}


def regressions(past: Sequence[Past], whole: dict[str, Any]) -> list[str]:
    """What costs more CPU than usual, by the change that nginx saw meanwhile where it was measured."""
    if not past:
        return []
    before, after = usual(past)["results"], whole["results"]
    found = []
    for row in ROWS:
        if row.key != "cpu_us":
            continue
        for target in after.get(row.measure, {}):
            if target in ("nginx", "direct"):
                continue
            change = _change(before, after, row.measure, target)
            pace = _change(before, after, row.measure, "nginx")
            judged = divided(change, pace) if pace else change
            if judged is not None and judged > 1 + WORSE:
                per = " (by nginx in the same run)" if pace else ""
                found.append(f"{row.label.strip()}, {target}: {judged:.2f} times the usual{per}")
    return found


def _change(before: dict[str, Any], after: dict[str, Any], measure: str, target: str) -> float | None:
    return divided(number(after, measure, target, "cpu_us"), number(before, measure, target, "cpu_us"))
